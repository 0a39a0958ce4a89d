// What figures with a chart share; it stands after kit.js.

// Axes whose drawing stretches while its strokes do not, and whose numbers stand outside, below and left.
function chart(classes, ...shapes) {
  const grid = svg("g", { class: "attn-grid" });
  const options = { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": true };
  const ticks = make("div", "attn-ticks", { "aria-hidden": true });
  const node = make("div", `attn-chart ${classes}`, { role: "img" }, svg("svg", options, grid, ...shapes), ticks);
  let left, right, bottom, top;
  // Where a point stands, as parts of width and height from the top left.
  const at = (x, y) => [(x - left) / (right - left), (top - y) / (top - bottom)];
  // Set what the axes span, and where a line and a number stand on each; 0 is the heavier line.
  function frame(spanX, spanY, across, up) {
    [left, right] = spanX;
    [bottom, top] = spanY;
    grid.replaceChildren();
    ticks.replaceChildren();
    const tick = (x, place, kind, line) => {
      grid.append(svg("line", { ...line, class: x ? "" : "attn-zero" }));
      const text = make("span", kind, {}, String(x).replace("-", "−"));
      text.style[kind === "attn-across" ? "left" : "top"] = `${100 * place}%`;
      ticks.append(text);
    };
    for (const x of across) {
      const place = at(x, top)[0];
      tick(x, place, "attn-across", { x1: place, x2: place, y1: 0, y2: 1 });
    }
    for (const y of up) {
      const place = at(left, y)[1];
      tick(y, place, "attn-up", { x1: 0, x2: 1, y1: place, y2: place });
    }
  }
  const line = (points) => points.map(([x, y], n) => `${n ? "L" : "M"}${at(x, y).join(" ")}`).join("");
  // Each dot is a line of no length with round ends, which stays round however the drawing is stretched.
  const dots = (points) => points.map(([x, y]) => `M${at(x, y).join(" ")}h0`).join("");
  return { node, at, frame, line, dots };
}

// Whole steps from low to high, few enough for their numbers.
function steps(low, high) {
  const step = high - low <= 16 ? 4 : high - low <= 64 ? 8 : high - low <= 128 ? 16 : 32;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, n) => (first + n) * step);
}

// The next number of one digit, or 1.5 times a power of ten: where an axis may end.
function roundUp(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return Number((power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((n) => n * power >= x * 0.999)).toPrecision(3));
}

// A labelled slider and its reading: {node, input, show(value, text)}.
function slider(name, attributes, tell) {
  const input = make("input", "", { type: "range", step: 1, ...attributes });
  input.addEventListener("input", () => tell(Number(input.value)));
  const reading = make("span", "attn-reading", { "aria-hidden": true });
  const show = (value, text) => {
    input.value = value;
    input.setAttribute("aria-valuetext", text);
    reading.textContent = text;
  };
  return { node: make("label", "", {}, name, input, reading), input, show };
}
