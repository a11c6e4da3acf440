function (data, type) {
  return type === "sort" ? (data.match(/^<data value="(\d+)"/)?.[1] ?? (data || "~")) : data; // nothing comes last
}
