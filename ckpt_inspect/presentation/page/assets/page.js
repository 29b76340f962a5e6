"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // --- light and dark: as the system has it, until it is chosen here
  const theme = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remembered = {
    // A page opened from disk may have no storage
    get: () => { try { return localStorage.getItem("ckpt-inspect-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("ckpt-inspect-theme", value); } catch { /* not remembered */ } },
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showTheme = () => {
    theme.textContent = isDark() ? "Light colours" : "Dark colours";
    theme.setAttribute("aria-pressed", String(isDark()));
  };
  const chosen = new URLSearchParams(location.hash.slice(2)).get("theme") ?? remembered.get();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered.set(root.dataset.theme);
    showTheme();
    keep("theme", root.dataset.theme);
  });
  system.addEventListener("change", showTheme);
  showTheme();

  // --- what is chosen lives in the address, so that it can be sent: #~filter=*kernel*&sort=median+E&theme=dark
  const state = new URLSearchParams(location.hash.startsWith("#~") ? location.hash.slice(2) : "");
  const keep = (name, value) => {
    if (value) state.set(name, value); else state.delete(name);
    const place = state.size ? `#~${state}` : location.pathname;
    // A page opened from disk may not be allowed to
    try { history.replaceState(null, "", place); } catch { if (state.size) location.replace(place); }
  };
  // Charts keep there what is chosen in them
  window.pageChoices = { get: (name) => state.get(name), keep };

  // --- a link into what is folded away opens it
  const reveal = () => {
    const target = byId(location.hash.slice(1));
    for (let each = target?.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
    target?.closest("details") && target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // --- printing shows what is folded away
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open], .chart-table)")];
    folded.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((each) => { each.open = false; }));

  // --- tables that are wider than the page say so
  const watched = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth + 1;
  }));
  document.querySelectorAll(".scroll").forEach((each) => {
    const hint = document.createElement("p");
    hint.className = "note sideways";
    hint.textContent = "Scroll sideways for more columns.";
    hint.hidden = true;
    each.before(hint);
    watched.observe(each);
  });

  const table = byId("parameter-table");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];

  // --- sorting: a heading sorts, then the other way round, then the model's own order comes back
  const collator = new Intl.Collator("en", { numeric: true });
  // By the parts of a path, so that dense/kernel comes before dense_1/bias
  const compare = (a, b) => {
    const [first, second] = [a.split("/"), b.split("/")];
    const at = first.findIndex((part, i) => part !== second[i]);
    return at < 0 ? first.length - second.length : collator.compare(first[at], second[at] ?? "");
  };
  const valueOf = (row, column, isNumber) => {
    const cell = row.cells[column];
    const value = cell.dataset.value ?? cell.textContent;
    if (!isNumber) return value;
    return value === "" ? NaN : Number(value);
  };
  const sortBy = (column, direction) => {
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === column ? direction : "none"));
    let order = rows;
    if (direction !== "none") {
      const isNumber = rows.some((row) => "value" in row.cells[column].dataset)
        && rows.every((row) => !Number.isNaN(Number(row.cells[column].dataset.value ?? "x")));
      const sign = direction === "ascending" ? 1 : -1;
      const keyed = rows.map((row) => [valueOf(row, column, isNumber), row]);
      keyed.sort(([a], [b]) => {
        if (!isNumber) return sign * compare(a, b);
        // What is not defined comes last either way
        if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
        return sign * (a - b);
      });
      order = keyed.map(([, row]) => row);
    }
    body.append(...order);
  };
  heads.forEach((head, column) => {
    const first = head.classList.contains("number") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const next = { none: first, [first]: second, [second]: "none" };
    head.querySelector("button").addEventListener("click", () => {
      const direction = next[head.getAttribute("aria-sort")];
      sortBy(column, direction);
      keep("sort", direction === "none" ? "" : head.textContent.trim());
      keep("order", direction === "none" ? "" : direction);
    });
  });
  const sorted = heads.findIndex((head) => head.textContent.trim() === state.get("sort"));
  if (sorted >= 0 && ["ascending", "descending"].includes(state.get("order"))) sortBy(sorted, state.get("order"));

  // --- filtering: every word must occur in the names of parameter, run, optimizer or findings; one with * or ? is a
  // pattern for the whole name of the parameter
  const byName = byId("name-filter");
  const byFinding = byId("finding-filter");
  const count = byId("filter-count");
  const names = new Map(rows.map((row) => [
    row,
    [...row.cells].filter((cell) => !cell.matches(".number")).map((cell) => cell.textContent).join(" ").toLowerCase(),
  ]));
  const patternOf = (glob) => {
    const escaped = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    return new RegExp(`^${escaped.replaceAll("*", ".*").replaceAll("?", ".")}$`);
  };
  const fits = (row, word) => (
    typeof word === "string" ? names.get(row).includes(word) : word.test(row.querySelector("th").dataset.value.toLowerCase())
  );
  const filter = () => {
    const words = byName.value.toLowerCase().split(/\s+/).filter(Boolean)
      .map((word) => (/[*?]/.test(word) ? patternOf(word) : word));
    const finding = byFinding ? byFinding.value : "";
    let shown = 0;
    for (const row of rows) {
      const found = words.every((word) => fits(row, word))
        && (!finding || (row.dataset.findings ?? "").split(" ").includes(finding));
      row.hidden = !found;
      shown += Number(found);
    }
    const left = shown === rows.length ? null : rows.filter((row) => !row.hidden).map((row) => row.querySelector("th").dataset.value);
    window.pageChoices.parameters = left;
    document.dispatchEvent(new CustomEvent("parameters-filtered", { detail: left }));
    const all = rows.length === 1 ? "1 parameter" : `${rows.length} parameters`;
    count.textContent = shown === rows.length ? all : `${shown} of ${all}`;
  };
  byName.closest(".controls").hidden = false;
  byName.addEventListener("input", () => { filter(); keep("filter", byName.value.trim()); });
  byFinding?.addEventListener("change", () => { filter(); keep("finding", byFinding.value); });
  document.querySelectorAll("a[data-finding]").forEach((link) => link.addEventListener("click", () => {
    byName.value = "";
    byFinding.value = link.dataset.finding;
    filter();
  }));
  const showTarget = () => {
    const target = byId(location.hash.slice(1));
    if (target && rows.includes(target) && target.hidden) {
      byName.value = "";
      if (byFinding) byFinding.value = "";
      filter();
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", showTarget);
  if (state.has("filter")) byName.value = state.get("filter");
  if (byFinding && state.has("finding")) byFinding.value = state.get("finding");
  // A browser may keep what was typed when a page is loaded again
  filter();
})();
