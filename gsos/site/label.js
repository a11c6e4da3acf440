function (cell, data, row, i, column) {
  cell.dataset.label = this.api().column(column).title();
}
