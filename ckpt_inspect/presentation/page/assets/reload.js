"use strict";
(() => {
  const seconds = Number(document.currentScript.dataset.seconds);
  const isOld = () => Date.now() - Date.parse(document.lastModified) > 24 * 3600 * 1000;
  // Not under the hands of somebody who types, chooses or copies
  const isInUse = () => document.activeElement?.matches("input, select") || String(getSelection()) !== "";
  setInterval(() => {
    // A browser keeps the place on the page, and the fragment
    if (!document.hidden && !isInUse() && !isOld()) location.reload();
  }, 1000 * seconds);
})();
