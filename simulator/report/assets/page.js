"use strict";
/* Puts the plots into their figures and makes the page's controls work. */
(() => {
  const root = document.documentElement;
  const PRINT_WIDTH = 690;
  const PRINT_HEIGHT = 180;
  const TABLE_ROWS = 120;
  const LEAST_ZOOM_S = 2;

  function fail(message) {
    root.dataset.error = message;
    const notice = document.querySelector(".failure");
    notice.hidden = false;
    notice.textContent = "The plots could not be drawn: " + message;
  }
  window.addEventListener("error", (event) => fail(event.message));

  const data = JSON.parse(document.getElementById("data").textContent);
  const figures = [...document.querySelectorAll("figure[data-plot]")];
  const end = Math.max(1, ...data.runs.map((run) => run.end));
  let range = [0, end];
  let drawn = [];
  let log = true;
  let moving = false;

  const source = (figure) => ({
    figure,
    log,
    binSeconds: data.bin_s,
    run: data.runs[Number(figure.dataset.run)],
    all: data.comparison,
    labels: data.runs.map((run) => run.label),
  });

  /* One range for all plots; null is the whole run. `moving` ignores the events that setScale itself causes. */
  function showRange(wanted) {
    if (moving) return;
    moving = true;
    const [from, to] = wanted ?? [0, end];
    range = to - from < LEAST_ZOOM_S ? range : [from, to];
    for (const plot of drawn) plot.setScale("x", { min: range[0], max: range[1] });
    queueMicrotask(() => { moving = false; });
  }

  const size = (figure, width) => ({
    width: width ?? Math.max(240, Math.floor(figure.querySelector(".plot").clientWidth)),
    height: width ? PRINT_HEIGHT : figure.dataset.plot === "demand" ? 300 : 220,
  });

  function drawAll(width) {
    for (const plot of drawn) plot.destroy();
    moving = true;
    drawn = figures.map((figure) => {
      const plan = plots[figure.dataset.plot](source(figure));
      figure.querySelector("details").ontoggle = (event) => event.target.open && fillTable(figure, plan);
      return drawing.draw(figure, plan, { ...size(figure, width), range, onRange: showRange });
    });
    queueMicrotask(() => { moving = false; });
  }

  function fillTable(figure, plan) {
    const headings = plan.headings ?? ["Time", ...plan.series.map((one) => one.label)];
    const texts = plan.texts ?? [drawing.clock, ...plan.series.map((one) => one.text)];
    const columns = plan.columns ?? plan.data;
    const stride = Math.max(1, Math.ceil(columns[0].length / TABLE_ROWS));
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const heading of headings) head.append(Object.assign(document.createElement("th"), { textContent: heading, scope: "col" }));
    const body = table.createTBody();
    for (let index = 0; index < columns[0].length; index += stride) {
      const row = body.insertRow();
      columns.forEach((column, place) => { row.insertCell().textContent = texts[place](column[index]); });
    }
    figure.querySelector(".data").replaceChildren(table);
  }

  function zoom(action) {
    const [from, to] = range;
    const span = to - from;
    const middle = (from + to) / 2;
    const clamp = (start, width) => {
      const first = Math.min(Math.max(0, start), Math.max(0, end - width));
      return [first, Math.min(end, first + width)];
    };
    showRange({
      in: () => clamp(middle - span / 4, span / 2),
      out: () => clamp(middle - span, Math.min(end, span * 2)),
      earlier: () => clamp(from - span / 2, span),
      later: () => clamp(from + span / 2, span),
      reset: () => null,
    }[action]());
  }

  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => zoom(button.dataset.zoom));
  }

  const scale = document.querySelector("[data-scale]");
  scale.addEventListener("click", () => {
    log = !log;
    scale.setAttribute("aria-pressed", String(log));
    drawAll();
  });

  /* Decision tables: by direction, by reason, or the holds instead. */
  function filterDecisions(section) {
    const show = section.querySelector('[data-show][aria-pressed="true"]').dataset.show;
    const reason = section.querySelector("select").value;
    section.querySelector(".scalings").hidden = show === "holds";
    section.querySelector(".holds").hidden = show !== "holds" && show !== "";
    section.querySelector("select").disabled = show === "holds";
    for (const row of section.querySelectorAll("tr[data-direction]")) {
      const wanted = show === "" || row.dataset.direction === show;
      row.hidden = !wanted || (reason !== "" && row.dataset.reason !== reason);
    }
  }

  for (const section of document.querySelectorAll(".decisions")) {
    const buttons = section.querySelectorAll("[data-show]");
    for (const button of buttons) {
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        filterDecisions(section);
      });
    }
    section.querySelector("select").addEventListener("change", () => filterDecisions(section));
  }

  /* Canvases keep the colours and the width that they were drawn with. */
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
  window.addEventListener("beforeprint", () => { root.dataset.theme = "light"; drawAll(PRINT_WIDTH); });
  window.addEventListener("afterprint", () => { delete root.dataset.theme; drawAll(); });
  function fit() {
    drawn.forEach((plot, index) => {
      const { width } = size(figures[index]);
      if (plot.width !== width) plot.setSize({ width, height: plot.height });
    });
  }
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(document.querySelector("main"));

  root.dataset.scripted = "true";
  drawAll();
})();
