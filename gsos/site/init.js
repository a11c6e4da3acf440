function (event) {
  const table = event.dt;
  for (const select of document.querySelectorAll("select[data-column]")) {
    const filter = () => table.column(`${select.dataset.column}:name`).search(select.value, { exact: true }).draw();
    select.addEventListener("change", filter);
    filter(); // a browser may have kept a choice
  }
  table.table().header().addEventListener("keydown", (pressed) => {
    if (pressed.key === " ") { // Enter sorts by itself
      pressed.preventDefault();
      pressed.target.click();
    }
  });
}
