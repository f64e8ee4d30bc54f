"use strict";
(() => {
  let data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const colour = name => getComputedStyle(root).getPropertyValue(name).trim();
  const series = n => colour("--c" + (n % 7));
  // What is stacked are failures, or statuses and close codes that mean one: they are red, and nothing else is.
  const tone = (plot, n) => plot.stacked && !plot.series[n].calm ? colour("--f" + (n % 4)) : series(n);
  const number = v => v == null ? "–" : Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : String(+v.toPrecision(4));
  const with_unit = (v, unit) => number(v) + (v == null || !unit ? "" : unit === "/s" ? "/s" : " " + unit);
  const over_time = [];
  const all = [];
  let logarithmic = false;
  const is_time = plot => plot.unit === "ms" && !plot.stacked;

  // Onsets: a dashed line through every plot, with its number in the list above.
  const marks = u => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    data.marks.forEach((mark, n) => {
      const x = Math.round(u.valToPos(mark.at, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      // Red is for what harms.
      ctx.strokeStyle = ctx.fillStyle = colour({ harm: "--bad", warn: "--warn" }[mark.tone] || "--dim");
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(String(n + 1), x + 3 * devicePixelRatio, bbox.top + (n % 3) * 12 * devicePixelRatio);
    });
    ctx.restore();
  };

  // Zoom in step: a plot whose range changed tells those that have another one, until none has. Pressing
  // and letting go of the pointer stay with the plot they happen in; only its moves are shown in all.
  const in_step = (u, key) => {
    if (key !== "x") return;
    const { min, max } = u.scales.x;
    over_time.forEach(other => (other.scales.x.min !== min || other.scales.x.max !== max) && other.setScale("x", { min, max }));
  };
  const moves = { pub: type => type !== "mousedown" && type !== "mouseup", sub: type => type !== "mousedown" && type !== "mouseup" };
  let first, last;
  const bounds = () => {
    first = data.t.length ? Math.min(0, data.t[0]) : 0;
    last = data.t.length ? data.t[data.t.length - 1] : 1;
  };
  bounds();
  const zoom = (min, max) => {
    min = Math.max(first, min);
    max = Math.min(last, max);
    if (over_time.length && max > min) over_time[0].setScale("x", { min, max });
  };
  const whole = () => zoom(first, last);

  const axis = more => ({ stroke: () => colour("--dim"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { stroke: () => colour("--line"), width: 1 }, ...more });
  const numbers = (u, splits) => splits.map(v => v == null ? "" : Math.abs(v) >= 1e6 ? v / 1e6 + "M" : Math.abs(v) >= 1e4 ? v / 1e3 + "k" : String(+v.toPrecision(4)));
  const size = box => ({ width: Math.max(220, box.clientWidth - 14), height: 200 });

  const frame = (parent, title, unit, describe) => {
    const box = document.createElement("div");
    box.className = "plot";
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", describe);
    const h = document.createElement("h3");
    h.textContent = title + " ";
    if (unit) {
      const small = document.createElement("small");
      small.textContent = unit;
      h.append(small);
    }
    box.append(h);
    parent.append(box);
    return box;
  };
  const extremes = s => {
    const seen = s.values.filter(v => v != null);
    return seen.length ? `${s.label} from ${number(Math.min(...seen))} to ${number(Math.max(...seen))}` : s.label;
  };

  const keys = (box, plotted, time) => box.addEventListener("keydown", event => {
    const u = plotted();
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== box) return;
    const { min, max } = u.scales.x;
    const at = u.cursor.idx ?? u.valToIdx((min + max) / 2);
    const move = to => {
      const idx = Math.min(u.data[0].length - 1, Math.max(0, to));
      const x = u.data[0][idx];
      if (time && (x < min || x > max)) zoom(x - (max - min) / 2, x + (max - min) / 2);
      u.setCursor({ left: u.valToPos(x, "x"), top: u.bbox.height / devicePixelRatio / 2 });
    };
    const around = factor => {
      const middle = u.cursor.idx == null ? (min + max) / 2 : u.data[0][u.cursor.idx];
      zoom(middle - (max - min) * factor / 2, middle + (max - min) * factor / 2);
    };
    const actions = { ArrowLeft: () => move(at - 1), ArrowRight: () => move(at + 1), Home: () => move(0), End: () => move(u.data[0].length - 1) };
    if (time) Object.assign(actions, { "+": () => around(.5), "=": () => around(.5), "-": () => around(2), "−": () => around(2), 0: whole, Escape: whole });
    const action = actions[event.key];
    if (action) { action(); event.preventDefault(); }
  });

  const columns_of = plot => {
    const columns = plot.series.map(s => s.values);
    // A logarithm has no zero.
    if (logarithmic && is_time(plot)) return columns.map(values => values.map(v => v > 0 ? v : null));
    if (!plot.stacked) return columns;
    // Drawn from the top: each is the sum of itself and of those below it.
    let below = data.t.map(() => 0);
    return columns.map(values => below = values.map((v, i) => below[i] + (v || 0)));
  };
  const draw = (at, box) => {
    const plot = data.plots[at];
    const log = logarithmic && is_time(plot);
    const columns = columns_of(plot);
    const right = plot.series.find(s => s.unit);
    const lines = plot.series.map((s, n) => ({
      label: s.label,
      stroke: () => tone(plot, n),
      width: 1.5,
      dash: ["limit", "planned", "base"].includes(s.label) ? [6, 4] : undefined,
      fill: plot.stacked ? () => tone(plot, n) + "66" : undefined,
      scale: s.unit ? "right" : "y",
      value: (u, v, si, i) => with_unit(i == null ? null : data.plots[at].series[n].values[i], s.unit || plot.unit),
      points: { show: data.t.length < 3 },
    }));
    const bands = plot.stacked ? lines.slice(1).map((_, n) => ({ series: [n + 2, n + 1] })) : [];
    const axes = [axis({ values: (u, splits) => splits.map(v => v + " s") }), axis({ size: 56, values: numbers, label: plot.unit, labelSize: 18, labelFont: "11px system-ui, sans-serif" })];
    if (right) axes.push(axis({ side: 1, scale: "right", size: 62, grid: { show: false }, values: (u, splits) => splits.map(v => v + " " + right.unit) }));
    const scales = { x: { time: false, range: (u, min, max) => min === max ? [first, last] : [min, max] }, y: log ? { distr: 3 } : { range: (u, min, max) => [0, max > 0 ? max * 1.05 : 1] } };
    if (right) scales.right = { range: (u, min, max) => [0, max > 0 ? max * 1.05 : 1] };
    const u = new uPlot({
      ...size(box), scales, axes, bands,
      cursor: { sync: { key: "time", filters: moves }, drag: { x: true, y: false }, focus: { prox: 16 } },
      legend: { live: true },
      series: [{ label: "at", value: (u, v) => v == null ? "–" : +v.toFixed(2) + " s" }, ...lines],
      hooks: { draw: [marks], setScale: [in_step] },
    }, [data.t, ...columns], box);
    u.over.addEventListener("dblclick", whole);
    over_time[at] = u;
    all[at] = [u, box];
  };
  const draw_plots = () => {
    if (!data.t.length) return;
    // All frames first: only then is it known how wide each of them is.
    const frames = data.plots.map(plot => frame(document.getElementById("plots"), plot.title, plot.unit, `${plot.title}: ${plot.series.map(extremes).join(", ")}`));
    data.plots.forEach((plot, n) => {
      draw(n, frames[n]);
      keys(frames[n], () => over_time[n], true);
    });
    const log = document.getElementById("log");
    log.hidden = !data.plots.some(is_time);
    log.setAttribute("aria-pressed", String(logarithmic));
  };
  // Times on a logarithmic scale, and back: the scale of a plot is for its life, so those plots are made anew.
  const change_scale = button => {
    logarithmic = !logarithmic;
    button.setAttribute("aria-pressed", String(logarithmic));
    const { min, max } = over_time[0].scales.x;
    data.plots.forEach((plot, n) => {
      if (!is_time(plot)) return;
      over_time[n].destroy();
      draw(n, all[n][1]);
    });
    over_time.forEach(u => u.setScale("x", { min, max }));
  };

  // The percentile curve: its axis is that of 1 / (1 − q), by decades.
  const draw_curve = () => {
    const curve = data.curve;
    if (curve.q.length <= 1) return;
    const box = frame(document.getElementById("curve"), curve.title, "ms", `Percentile curve: ${curve.series.map(extremes).join(", ")}`);
    const x = curve.q.map(q => -Math.log10(Math.max(1 - q, 1e-9)));
    const share = v => v <= 0 ? "0 %" : +(100 * (1 - Math.pow(10, -v))).toPrecision(Math.max(2, Math.floor(v) + 1)) + " %";
    const u = new uPlot({
      ...size(box), height: 260,
      scales: { x: { time: false }, y: { distr: 3 } },
      axes: [axis({ label: "share of attempts", labelSize: 18, labelFont: "11px system-ui, sans-serif", splits: () => Array.from({ length: Math.floor(x[x.length - 1]) + 1 }, (_, n) => n), values: (u, splits) => splits.map(share) }), axis({ size: 60, label: "ms", labelSize: 18, labelFont: "11px system-ui, sans-serif", values: (u, splits) => splits.map(v => v == null ? "" : number(v)) })],
      cursor: { drag: { x: false, y: false } },
      series: [{ label: "share", value: (u, v) => v == null ? "–" : share(v) }, ...curve.series.map((s, n) => ({ label: s.label, stroke: () => series(n), width: 1.5, value: (u, v) => with_unit(v, "ms") }))],
    }, [x, ...curve.series.map(s => s.values.map(v => v > 0 ? v : .001))], box);
    all.push([u, box]);
    keys(box, () => u, false);
  };
  draw_plots();
  draw_curve();

  // Later figures of the same run: plots that are the same but for their numbers stay as they are, zoom included.
  const shape = of => JSON.stringify(of.plots.map(plot => [plot.title, plot.series.map(s => s.label)]));
  const drop = ([u, box]) => { u.destroy(); box.remove(); };
  const update = next => {
    const same = over_time.length > 0 && shape(next) === shape(data);
    const scale = same ? over_time[0].scales.x : null;
    const zoomed = same && (scale.min > first || scale.max < last);
    data = next;
    bounds();
    all.splice(same ? over_time.length : 0).forEach(drop);
    if (same) {
      over_time.forEach((u, n) => u.setData([data.t, ...columns_of(data.plots[n])], !zoomed));
    } else {
      over_time.splice(0);
      draw_plots();
    }
    draw_curve();
  };

  document.addEventListener("click", async event => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "whole") whole();
    if (button.id === "log") change_scale(button);
    if (button.dataset.at !== undefined) {
      const at = +button.dataset.at, half = (last - first) / 10;
      zoom(at - half, at + half);
    }
    if (button.dataset.copy === undefined) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });

  // Colours and sizes follow the theme, the window and the paper.
  const redraw = () => all.forEach(([u]) => u.redraw(false, true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => { root.dataset.theme = "light"; document.querySelectorAll("details").forEach(d => { d.open = true; }); redraw(); });
  addEventListener("afterprint", () => { delete root.dataset.theme; redraw(); });
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => all.forEach(([u, box]) => u.setSize({ ...size(box), height: u.height })), 100);
  });
  window.connstorm = { over_time, all, update, get data() { return data; } };
})();
