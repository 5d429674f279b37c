// What moves on the page: its theme, its charts, the field that is picked, the tree's folds, the order of a table.
"use strict";
(() => {
  let data;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const borders = ["solid", "dashed", "dotted", "double"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star"];
  const marks = ["●", "■", "◆", "▲", "▼", "✚", "✖", "★"];
  const faint = 0.35;

  // Theme

  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const nameButton = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  const changeTheme = () => { nameButton(); drawAll(); };
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; changeTheme(); });
  system.addEventListener("change", changeTheme);
  nameButton();

  // A colour as the page has it now: what a variable stands for is known to elements only.
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const seriesColour = (number) => colour(`series-${number % 8}`);
  const faded = (rgb, alpha) => rgb.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

  function paintSamples() {
    for (const sample of all("[data-group].sample")) {
      const number = Number(sample.dataset.group);
      sample.style.borderTopStyle = borders[number % borders.length];
      sample.style.borderTopColor = `var(--series-${number % 8})`;
    }
    for (const mark of all(".mark")) {
      const number = Number(mark.dataset.writer);
      mark.textContent = marks[number % marks.length];
      mark.style.color = `var(--series-${number % 8})`;
    }
  }

  // Charts

  const axis = () => document.querySelector("[name=axis]:checked")?.value ?? Object.keys(data.axes)[0];
  const isShown = (group) => document.querySelector(`[name=group][value="${group}"]`)?.checked ?? true;
  // Plotly takes texts for HTML of a kind, so names from a run are written as what they show.
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  function curves(chart) {
    const series = chart[axis()].filter((one) => isShown(one.group));
    const smoothed = new Set(series.filter((one) => one.kind === "mean").map((one) => one.group));
    return series.flatMap((one) => {
      const paint = seriesColour(one.group);
      const line = { color: paint, width: 2, dash: dashes[one.group % dashes.length] };
      const shared = { x: one.x, hoverinfo: "x+y", type: "scatter", mode: "lines", connectgaps: false, cliponaxis: false };
      if (one.kind === "values") {
        const behind = smoothed.has(one.group);
        const few = one.x.length <= 60;
        return [{
          ...shared, y: one.y, opacity: behind ? faint : 1, mode: few ? "lines+markers" : "lines",
          line: { ...line, shape: "hv", width: behind ? 1 : 2, dash: behind ? "solid" : line.dash },
          marker: { color: paint, size: 5, symbol: symbols[one.group % symbols.length] },
        }];
      }
      const edge = { ...shared, hoverinfo: "skip", line: { width: 0, color: paint } };
      const band = one.low
        ? [{ ...edge, y: one.low }, { ...edge, y: one.high, fill: "tonexty", fillcolor: faded(paint, 0.18) }]
        : [];
      return [...band, { ...shared, y: one.y, line }];
    });
  }

  function timeline(field) {
    return field[axis()].map((one) => ({
      x: one.x, y: one.y, type: "scatter", mode: "markers", hoverinfo: "x+y", cliponaxis: false,
      marker: { color: seriesColour(one.writer), symbol: symbols[one.writer % symbols.length], size: 6, opacity: 0.85 },
    }));
  }

  function layout() {
    const lines = { gridcolor: colour("edge"), linecolor: colour("edge"), zeroline: false, automargin: true, tickcolor: colour("edge") };
    return {
      margin: { l: 48, r: 12, t: 8, b: 40 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: colour("faint") },
      showlegend: false, hovermode: "closest",
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("edge"), font: { color: colour("text") } },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
      shapes: data.marks[axis()].map((x) => ({
        type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colour("faint"), width: 1, dash: "dot" },
      })),
      xaxis: { ...lines, title: { text: plain(data.axes[axis()].name), standoff: 8 }, range: [0, data.axes[axis()].end] },
      yaxis: { ...lines, nticks: 8 },
    };
  }

  const config = { displayModeBar: false, responsive: true };
  function draw(plot) {
    if (!window.Plotly || plot.offsetParent === null) return;
    const isCurve = "chart" in plot.dataset;
    const drawn = isCurve ? curves(data.charts[plot.dataset.chart]) : timeline(data.fields[plot.dataset.timeline]);
    Plotly.react(plot, drawn, layout(), config);
  }
  const drawAll = () => all(".plot").forEach(draw);

  // The field that is picked: its name is kept, for its place in the list may become another

  let picked;
  function pick() {
    const picker = document.getElementById("field");
    if (!picker) return;
    picker.value = picked ?? picker.value;
    picked = picker.value;
    for (const field of all("[data-field]")) field.hidden = field.dataset.field !== picked;
  }

  // The tree and tables

  function fold(how) {
    for (const branch of all(".tree details")) {
      branch.open = how === "open" || branch.querySelector(":scope > .below > :is(details, .leaf)") !== null;
    }
  }

  function nameMore(more) {
    const isLong = more.getAttribute("aria-expanded") === "true";
    more.firstChild.data = more.firstChild.data.replace(/all|fewer/, isLong ? "fewer" : "all");
  }
  function showMore(more) {
    const isShort = document.getElementById(more.dataset.all).classList.toggle("short");
    more.setAttribute("aria-expanded", String(!isShort));
    nameMore(more);
  }

  function order(head) {
    const next = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
    for (const other of all("th[aria-sort]", head.parentElement)) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", next);
    sort(head.closest("table"));
  }
  function sort(table) {
    const head = table.querySelector("[aria-sort$=ending]");
    const value = (row) => row.cells[head.cellIndex].dataset.value;
    const compare = (a, b) => (isNaN(value(a)) ? value(a).localeCompare(value(b)) : value(a) - value(b));
    const rows = [...table.tBodies[0].rows].sort(compare);
    table.tBodies[0].append(...(head.getAttribute("aria-sort") === "descending" ? rows.reverse() : rows));
  }

  document.addEventListener("click", ({ target }) => {
    const pressed = target.closest("main button");
    if (!pressed) return;
    if (pressed.dataset.fold) fold(pressed.dataset.fold);
    else if (pressed.dataset.all) showMore(pressed);
    else order(pressed.closest("th"));
  });
  document.addEventListener("change", ({ target }) => {
    if (target.id !== "field") {
      drawAll();
      return;
    }
    picked = target.value;
    pick();
    all("[data-timeline]").forEach(draw);
  });

  // What stands on the page is arranged when it is there, and again whenever it was brought up to date

  function arrange() {
    data = JSON.parse(document.getElementById("data").textContent);
    paintSamples();
    pick();
    all("[data-all]").forEach(nameMore);
    all(".sortable").forEach(sort);
    drawAll();
  }
  arrange();
  document.addEventListener("renewed", arrange);
  // The drawing library stands below, so that the page is there to read before it is.
  document.addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(drawAll)));
})();
