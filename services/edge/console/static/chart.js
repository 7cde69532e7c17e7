// Stacked bars of spending by day. The numbers come exact, as decimal strings, in data-chart; only
// the drawing uses floats.
"use strict";

const Chart = (() => {
  const drawn = new Map();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const dollars = (number) => {
    if (number === 0) return "$0";
    const digits = number >= 1 ? 2 : Math.min(9, 1 - Math.floor(Math.log10(number)));
    return "$" + number.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  };

  const exact = (text) => {
    const [whole, fraction = ""] = text.split(".");
    return "$" + whole.replace(/\B(?=(\d{3})+$)/g, ",") + "." + fraction.replace(/0+$/, "").padEnd(2, "0");
  };

  const dayName = (day) => new Date(day + "T00:00:00Z")
    .toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

  // Bars from the front: the first series is lowest; each later one is drawn behind it, as high as
  // all before it and itself.
  const stacked = (series) => {
    const sums = [];
    let below = series[0].spent.map(() => 0);
    for (const each of series) {
      below = below.map((sum, place) => sum + Number(each.spent[place]));
      sums.push(below);
    }
    return sums.reverse();
  };

  const read = (element, data, place) => {
    const caption = element.parentElement.querySelector(".reading");
    if (place == null || !data.days[place]) return;
    const parts = data.series
      .filter((each) => Number(each.spent[place]) > 0)
      .map((each) => (each.name && data.series.length > 1 ? each.name + " " : "") + exact(each.spent[place]));
    caption.textContent = dayName(data.days[place]) + " (UTC): " + (parts.join(" · ") || "nothing");
  };

  const draw = (element) => {
    const data = JSON.parse(element.dataset.chart);
    const count = data.series.length;
    const text = colour("--chart-text");
    const axis = {
      stroke: text, font: "12px system-ui, sans-serif", ticks: { show: false },
      grid: { stroke: colour("--chart-grid"), width: 1 },
    };
    const bars = uPlot.paths.bars({ size: [0.7, 36] });
    const options = {
      width: element.clientWidth,
      height: element.clientWidth < 500 ? 200 : 260,
      padding: [12, 8, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: {
        x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        {
          ...axis, grid: { show: false }, size: 30, incrs: [1, 2, 3, 5, 7, 10], space: 56,
          values: (_, places) => places.map((at) => (data.days[at] ? dayName(data.days[at]) : "")),
        },
        {
          ...axis, space: 44,
          values: (_, values) => values.map(dollars),
          size: (_, values) => (values ? 14 + 7 * Math.max(...values.map((v) => v.length)) : 50),
        },
      ],
      series: [{}, ...data.series.map((_, place) => {
        const fill = colour("--chart-" + (count - 1 - place));
        return { fill, stroke: fill, width: 0, paths: bars, points: { show: false } };
      })],
      hooks: { setCursor: [(plot) => read(element, data, plot.cursor.idx)] },
    };
    drawn.get(element)?.destroy();
    const places = data.days.map((_, place) => place);
    drawn.set(element, new uPlot(options, [places, ...stacked(data.series)], element));
    element.dataset.drawn = "true";
  };

  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (!target.isConnected) {
        resized.unobserve(target);
        drawn.delete(target);
      } else if (target.clientWidth && drawn.get(target)?.width !== target.clientWidth) {
        draw(target);
      }
    }
  });

  const drawAll = (root) => {
    for (const element of root.querySelectorAll("[data-chart]")) resized.observe(element);
  };

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const element of drawn.keys()) if (element.isConnected) draw(element);
  });

  return { drawAll };
})();
