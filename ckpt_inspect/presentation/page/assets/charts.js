"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  // By kind of chart: a function of the element that holds it and of its data
  const drawings = {};
  for (const place of document.querySelectorAll(".chart")) drawings[place.dataset.kind]?.(place, data[place.id]);
})();
