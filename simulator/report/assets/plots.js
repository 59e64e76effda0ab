"use strict";
/* One function per kind of plot: a run's columns in, what drawing.draw needs out. */
const plots = (() => {
  const {
    axis, clock, color, countAxis, fromZero, inside, latency, logTicks, number, percent, rightAxis, series, shown, stepped,
  } = drawing;
  const RUN_COLORS = ["run-1", "run-2", "run-3", "run-4", "run-5", "run-6"];
  const START = ["waiting", "node", "image", "weights", "engine"];
  const START_LABELS = ["Waiting for a node", "Node", "Image", "Weights", "Engine"];
  const LIFE = [...START, "ready", "draining"];

  const wholePercents = (u, ticks) => ticks.map((tick) => Math.round(tick * 100) + "%");

  function demand({ run }) {
    const at = run.timeline;
    return {
      data: [at.time, at.demand, at.desired, at.ordered, at.ready],
      series: [
        stepped("Demand (req/s)", "demand-line", { scale: "rps", fill: color("demand"), width: 1 }),
        stepped("Desired", "desired-halo", { width: 6 }),
        stepped("Ordered", "starting", { width: 1.5 }),
        stepped("Ready", "ready", { width: 2.5 }),
      ],
      bands: [{ series: [3, 4], fill: color("starting-band") }, { series: [4, 3], fill: color("starting-band") }],
      axes: [countAxis("replicas"), rightAxis("requests/s", "rps")],
      scales: { y: { range: fromZero }, rps: { range: fromZero } },
    };
  }

  function load({ run }) {
    const at = run.timeline;
    return {
      data: [at.time, at.kv, at.running, at.waiting, at.gateway],
      series: [
        series("KV cache", "demand-line", { scale: "share", format: percent, fill: color("demand"), width: 1 }),
        series("Running", "desired"),
        series("Waiting", "starting", { width: 2 }),
        series("Gateway queue", "draining", { width: 2 }),
      ],
      axes: [axis("requests"), rightAxis("KV usage", "share", { values: wholePercents })],
      scales: { y: { range: fromZero }, share: { range: [0, 1] } },
    };
  }

  /* Quantiles per bin, the limit as a dashed line, and the misses as ticks along the bottom. */
  function latencies({ run, binSeconds, log }, name) {
    const bins = run.latency;
    const limit = run.slo[name];
    const missed = bins["missed_" + name];
    const positive = (values) => values.map((value) => (value > 0 ? value : null));
    /* Room below the lowest value, so that no line runs through the misses. */
    const logRange = (u, least, most) => {
      const high = Math.max(most || limit, limit) * 1.25;
      const low = Math.min(least || limit, limit) * 0.9;
      return [low * (low / high) ** 0.12, high];
    };
    const linearRange = (u, least, most) => [0, Math.max(most || limit, limit) * 1.08];
    const counted = (u, value, index, row) => (row == null ? "-" : value + " of " + bins.arrived[row]);
    return {
      data: [bins.time, positive(bins[name + "_p50"]), positive(bins[name + "_p95"]), missed],
      series: [
        series("p50", "desired", { format: latency }),
        series("p95", "strong", { format: latency, width: 2 }),
        series("Missed", "miss", { scale: "missed", paths: () => null, fill: color("miss"), value: counted }),
      ],
      axes: [
        axis(undefined, {
          size: 60,
          values: (u, ticks) => ticks.map(latency),
          ...(log && { splits: (u, index, least, most) => logTicks(least, most), filter: (u, ticks) => ticks }),
        }),
      ],
      scales: { y: log ? { distr: 3, range: logRange } : { range: linearRange }, missed: { range: [0, 1] } },
      paint: (u) => inside(u, (ctx, ratio, box) => {
        paintMisses(u, ctx, ratio, box, bins, missed, binSeconds);
        paintLimit(u, ctx, ratio, box, limit);
      }),
    };
  }

  function paintMisses(u, ctx, ratio, box, bins, missed, binSeconds) {
    const height = 7 * ratio;
    ctx.fillStyle = color("miss");
    bins.time.forEach((middle, index) => {
      if (!missed[index]) return;
      const left = u.valToPos(middle - binSeconds / 2, "x", true);
      const right = u.valToPos(middle + binSeconds / 2, "x", true);
      ctx.globalAlpha = 0.25 + 0.75 * Math.sqrt(missed[index] / bins.arrived[index]);
      ctx.fillRect(left, box.top + box.height - height, Math.max(2 * ratio, right - left), height);
    });
    ctx.globalAlpha = 1;
  }

  function paintLimit(u, ctx, ratio, box, limit) {
    const y = Math.round(u.valToPos(limit, "y", true));
    ctx.strokeStyle = ctx.fillStyle = color("miss");
    ctx.lineWidth = ratio;
    ctx.setLineDash([6 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(box.left, y);
    ctx.lineTo(box.left + box.width, y);
    ctx.stroke();
    ctx.font = 11 * ratio + "px system-ui, 'DejaVu Sans', sans-serif";
    ctx.textAlign = "right";
    const above = y - box.top > 16 * ratio;
    ctx.textBaseline = above ? "bottom" : "top";
    ctx.fillText("SLO " + latency(limit), box.left + box.width - 4 * ratio, y + (above ? -2 : 3) * ratio);
  }

  /* Stacked: each area is painted over the taller one behind it; the legend shows the area's own value. */
  function cost({ run }) {
    const at = run.phases;
    const upTo = (names) => at.time.map((time, row) => names.reduce((sum, name) => sum + at[name][row], 0));
    const part = (name) => (u, value, index, row) => (row == null ? "-" : number(at[name][row]));
    const area = (label, name) => stepped(label, name, { fill: color(name + "-area"), width: 1, value: part(name) });
    return {
      data: [at.time, upTo(["ready", "starting", "draining"]), upTo(["ready", "starting"]), at.ready, at.gpu_hours],
      columns: [at.time, at.draining, at.starting, at.ready, at.gpu_hours],
      series: [
        area("Draining", "draining"),
        area("Starting", "starting"),
        area("Ready", "ready"),
        series("GPU-hours", "strong", { scale: "hours", width: 2 }),
      ],
      axes: [countAxis("billed replicas"), rightAxis("GPU-hours", "hours")],
      scales: { y: { range: fromZero }, hours: { range: fromZero(null, 0, at.gpu_hours.at(-1)) } },
    };
  }

  function lives({ run, figure }) {
    const at = run.lives;
    const rows = Math.max(1, ...at.lane.map((lane) => lane + 1));
    const readout = document.createElement("p");
    readout.className = "readout";
    const idle = () => { readout.textContent = "Point at a replica to read its times."; };
    idle();
    figure.querySelector(".readout")?.remove();
    figure.querySelector(".plot").after(readout);
    const show = (row) => { readout.textContent = lifeText(at, row); };
    return {
      height: Math.min(420, 90 + 20 * rows),
      data: [[0, run.end], ...LIFE.map(() => [null, null])],
      columns: [at.name, at.ordered, ...START.map((phase, index) => at.name.map((name, row) => startSeconds(at, row)?.[index])), at.ready, at.drain, at.ended],
      headings: ["Replica", "Ordered", ...START_LABELS.map((label) => label + " (s)"), "Ready", "Draining", "Ended"],
      texts: [String, shown(clock), ...START.map(() => shown(number)), ...Array(3).fill(shown(clock))],
      series: [...START_LABELS, "Ready", "Draining"].map((label, index) =>
        series(label, LIFE[index] + "-bar", { fill: color(LIFE[index] + "-bar"), value: () => "" })),
      axes: [countAxis("replicas")],
      scales: { y: { range: [0, rows] } },
      paint: (u) => inside(u, (ctx, ratio) => at.lane.forEach((lane, row) => paintLife(u, ctx, ratio, at, row))),
      point: (u) => {
        const row = u.cursor.left < 0 ? -1 : lifeAt(at, u.posToVal(u.cursor.left, "x"), u.posToVal(u.cursor.top, "y"));
        if (row < 0) idle(); else show(row);
      },
    };
  }

  /* The seconds of each phase of a start; null for a replica that was there from the beginning. */
  function startSeconds(at, row) {
    const edges = at.start[row];
    return edges && edges.map((end, index) => end - (index ? edges[index - 1] : at.ordered[row]));
  }

  function lifeSpans(at, row) {
    const leaves = at.drain[row] ?? at.ended[row];
    const ready = at.ready[row] ?? leaves;
    const edges = at.start[row] ?? START.map(() => at.ordered[row]);
    const start = edges.map((end, index) => [index ? edges[index - 1] : at.ordered[row], end]);
    return [...start, [ready, leaves], [leaves, at.ended[row]]];
  }

  function paintLife(u, ctx, ratio, at, row) {
    const top = u.valToPos(at.lane[row] + 1, "y", true);
    const height = u.valToPos(at.lane[row], "y", true) - top;
    const gap = Math.min(2 * ratio, height / 5);
    lifeSpans(at, row).forEach(([from, to], phase) => {
      if (to <= from) return;
      const left = u.valToPos(from, "x", true);
      ctx.fillStyle = color(LIFE[phase] + "-bar");
      ctx.fillRect(left, top + gap, Math.max(ratio, u.valToPos(to, "x", true) - left - ratio / 2), height - 2 * gap);
    });
  }

  const lifeAt = (at, time, y) =>
    at.lane.findIndex((lane, row) => lane <= y && y < lane + 1 && at.ordered[row] <= time && time <= at.ended[row]);

  function lifeText(at, row) {
    const parts = [at.name[row] + ": ordered " + clock(at.ordered[row])];
    if (at.ready[row] == null) parts.push("never ready");
    else parts.push("ready " + clock(at.ready[row]) + " (after " + number(at.ready[row] - at.ordered[row]) + " s)");
    const spent = startSeconds(at, row);
    spent?.forEach((seconds, index) => { if (seconds > 0) parts.push(START_LABELS[index].toLowerCase() + " " + number(seconds) + " s"); });
    if (at.drain[row] != null) parts.push("draining " + clock(at.drain[row]));
    parts.push("ended " + clock(at.ended[row]));
    return parts.join(", ");
  }

  function overlay(time, columns, labels, make, y) {
    return {
      data: [time, ...columns],
      series: columns.map((column, index) => make(labels[index], RUN_COLORS[index % RUN_COLORS.length])),
      axes: [y.axis],
      scales: { y: { range: y.range } },
    };
  }

  return {
    demand,
    load,
    ttft: (source) => latencies(source, "ttft"),
    tpot: (source) => latencies(source, "tpot"),
    cost,
    lives,
    "compare-ready": ({ all, labels }) =>
      overlay(all.time, all.ready, labels, (label, paint) => stepped(label, paint, { width: 2 }),
        { axis: countAxis("replicas"), range: fromZero }),
    "compare-attainment": ({ all, labels }) =>
      overlay(all.bins, all.attainment, labels, (label, paint) => series(label, paint, { format: percent, width: 2 }),
        { range: [0, 1.02], axis: axis(undefined, { values: wholePercents }) }),
    "compare-cost": ({ all, labels }) =>
      overlay(all.time, all.gpu_hours, labels, (label, paint) => series(label, paint, { width: 2 }),
        { axis: axis("GPU-hours"), range: fromZero }),
  };
})();
