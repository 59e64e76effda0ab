"use strict";
/* The common parts of all plots: colours from the style sheet, formats, axes, series, and uPlot. */
const drawing = (() => {
  const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
  const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  const two = (number) => String(number).padStart(2, "0");

  function clock(seconds) {
    const whole = Math.round(seconds);
    return Math.floor(whole / 3600) + ":" + two(Math.floor(whole / 60) % 60) + ":" + two(whole % 60);
  }

  /* Hours and minutes suffice on an axis whose ticks are whole minutes. */
  const clockTicks = (u, ticks, axis, space, step) =>
    ticks.map((tick) => (step < 60 ? clock(tick) : clock(tick).slice(0, -3)));

  const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });
  const percent = (value) => (value * 100).toFixed(1) + "%";
  const latency = (value) => (value < 1 ? number(value * 1000) + " ms" : number(value) + " s");

  /* A value's text in the legend and the data table; a dash where there is none. */
  const shown = (format) => (value) => (value == null ? "-" : format(value));

  function series(label, paint, options = {}) {
    const { format = number, ...rest } = options;
    const text = shown(format);
    return {
      label,
      stroke: color(paint),
      width: 1.5,
      points: { show: false },
      spanGaps: true,
      text,
      value: (u, value, index, row) => (row == null ? "-" : text(value)),
      ...rest,
    };
  }

  const stepped = (label, paint, options = {}) =>
    series(label, paint, { paths: uPlot.paths.stepped({ align: 1 }), spanGaps: false, ...options });

  function axis(label, options = {}) {
    return {
      label,
      labelFont: FONT,
      labelSize: 18,
      labelGap: 2,
      font: FONT,
      stroke: color("muted"),
      size: innerWidth < 640 ? 36 : 52,
      grid: { stroke: color("grid"), width: 1 },
      ticks: { show: false },
      ...options,
    };
  }

  /* Whole numbers only, for replicas. */
  const countAxis = (label) => axis(label, { incrs: COUNTS });
  const timeAxis = () => axis(undefined, { size: 30, incrs: STEPS_S, values: clockTicks, space: 64 });
  const rightAxis = (label, scale, options = {}) =>
    axis(label, { scale, side: 1, grid: { show: false }, ...options });

  const fromZero = (u, least, most) => [0, most > 0 ? most * 1.08 : 1];

  /* 1, 2 and 5 times each power of ten. */
  function logTicks(least, most) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.ceil(Math.log10(most)); power++) {
      for (const factor of [1, 2, 5]) {
        const tick = Number((factor * 10 ** power).toPrecision(3));
        if (tick >= least && tick <= most) ticks.push(tick);
      }
    }
    return ticks.length > 6 ? ticks.filter((tick) => /^[0.]*1/.test(String(tick))) : ticks;
  }

  /* The inside of the plot as canvas pixels, clipped; `paint` gets the context and the pixel ratio. */
  function inside(u, paint) {
    const { left, top, width, height } = u.bbox;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    paint(u.ctx, uPlot.pxRatio, u.bbox);
    u.ctx.restore();
  }

  /* Draws `plan` (data, series, axes, scales, and where it has them bands, height, paint, point) into a figure's place. */
  function draw(figure, plan, { width, height, range, onRange }) {
    const place = figure.querySelector(".plot");
    place.replaceChildren();
    const plot = new uPlot(
      {
        width,
        height: plan.height ?? height,
        bands: plan.bands ?? [],
        padding: [12, plan.axes.length > 1 ? 4 : 16, 0, 0],
        series: [{ label: "Time", value: (u, value) => (value == null ? "-" : clock(value)) }, ...plan.series],
        axes: [timeAxis(), ...plan.axes],
        scales: { x: { time: false }, ...plan.scales },
        cursor: {
          sync: { key: "report", setSeries: false },
          points: { size: 6 },
          bind: { dblclick: () => () => onRange(null) },
        },
        hooks: {
          draw: [...(plan.paint ? [plan.paint] : []), () => figure.setAttribute("data-rendered", "true")],
          setScale: [(u, scale) => scale === "x" && onRange([u.scales.x.min, u.scales.x.max])],
          setCursor: plan.point ? [plan.point] : [],
        },
      },
      plan.data,
      place,
    );
    plot.setScale("x", { min: range[0], max: range[1] });
    return plot;
  }

  return {
    axis, clock, color, countAxis, draw, fromZero, inside, latency, logTicks, number, percent, rightAxis, series, shown, stepped,
  };
})();
