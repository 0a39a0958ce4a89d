// The hash on a circle: directions that turn, points that fall to the nearest, are sorted and cut into chunks.

const radians = (x) => (x * Math.PI) / 180;

function lshOf({ angles, buckets, chunk, turn, causal }) {
  const vectors = angles.map((a) => [Math.cos(radians(a)), Math.sin(radians(a))]);
  const columns = Array.from({ length: buckets / 2 }, (_, c) => radians(turn + (360 / buckets) * c));
  const hashed = bucketsOf(vectors, [columns.map(Math.cos), columns.map(Math.sin)]);
  const { order, place } = sortedBy(hashed);
  return { hashed, order, place, met: orItself(metIn(hashed, place, chunk, causal)) };
}

function render({ model, el }) {
  const moved = ["chunk", "turn", "query", "causal"];
  const names = ["angles", "buckets", ...moved, "caption"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state, sectors, dots, links, tiles, bars, threads, spinning;

  const set = setter(model);
  const stop = () => cancelAnimationFrame(spinning);
  const slide = (name, attributes, shown = (x) => x) => {
    const input = make("input", "", { type: "range", step: 1, "aria-label": name, ...attributes });
    const read = make("output", "attn-hc-read", { "aria-hidden": true });
    input.addEventListener("input", () => {
      stop();
      set({ [name]: Number(input.value) });
    });
    const show = (value) => {
      input.value = value;
      read.textContent = shown(value);
    };
    return { input, show, node: make("label", "", {}, make("span", "", {}, name), input, read) };
  };
  const turning = slide("turn", { min: 0, max: 359 }, (x) => `${x}°`);
  const chunking = slide("chunk", { min: 2 });
  const asking = slide("query", { min: 0 }, (x) => x + 1);
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ causal: box.checked }));
  // Go on by a random angle; where motion is welcome, through all the angles between.
  function spin() {
    stop();
    const [from, by] = [state.turn, 40 + Math.floor(280 * Math.random())];
    const to = (part) => set({ turn: (from + Math.round(by * part)) % 360 });
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return to(1);
    const began = performance.now();
    const frame = (now) => {
      const part = clamp((now - began) / 900, 0, 1);
      to(1 - (1 - part) ** 3);
      if (part < 1) spinning = requestAnimationFrame(frame);
    };
    spinning = requestAnimationFrame(frame);
  }
  const sliders = make("div", "attn-controls attn-hc-sliders", {}, turning.node, chunking.node, asking.node);
  const before = make("label", "", {}, box, "only points before it");
  const controls = make("div", "attn-controls", {}, button("Spin", spin), before, button("Reset", () => (stop(), set(first))));

  const wheel = make("div", "attn-hc-wheel", { role: "img" });
  const rows = make("div", "attn-hc-rows", { "aria-hidden": true });
  const legend = make("ul", "attn-hc-legend");
  for (const [kind, text] of [["query", "asks"], ["seen", "may be attended to"], ["out", "same bucket, out of reach"], ["late", "same bucket, but later"]])
    legend.append(make("li", "", { "data-kind": kind }, make("i", `attn-hc-${kind}`, { "aria-hidden": true }), text));
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const total = make("p", "attn-hc-total");
  const caption = make("p", "attn-caption");
  const body = make("div", "attn-hc-body", {}, wheel, make("div", "attn-hc-side", {}, rows, legend, sentence, total));
  const told = { "aria-label": "Hash on a circle", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-hc", told, controls, sliders, body, caption);

  const at = (angle, r) => [r * Math.cos(radians(angle)), -r * Math.sin(radians(angle))];

  function build() {
    const { angles, buckets } = state;
    const half = 180 / buckets;
    const wedge = [-half, half].map((a) => at(a, 1.08).join(" "));
    sectors = Array.from({ length: buckets }, (_, b) => {
      const path = svg("path", { class: `attn-hc-sector attn-hc-tone${b % 4}`, d: `M0 0L${wedge[0]}A1.08 1.08 0 0 0 ${wedge[1]}Z` });
      const line = svg("path", { class: "attn-hc-way", d: "M0 0H0.78M0.7 -0.05L0.78 0L0.7 0.05" });
      const name = svg("text", { class: "attn-hc-letter" }, letterOf(b));
      return { group: svg("g", {}, path, line), name };
    });
    links = angles.map(() => svg("line", { class: "attn-hc-link" }));
    dots = angles.map((angle, i) => {
      const [x, y] = at(angle, 1);
      const text = svg("text", {}, i + 1);
      const node = svg("g", { transform: `translate(${x} ${y})` }, svg("circle", { r: 0.115 }), text);
      node.addEventListener("click", () => set({ query: i }));
      return node;
    });
    const [groups, names] = ["group", "name"].map((part) => sectors.map((sector) => sector[part]));
    wheel.replaceChildren(svg("svg", { viewBox: "-1.36 -1.36 2.72 2.72" }, ...groups, ...names, ...links, ...dots));

    const line = (text) => {
      const all = angles.map((_, i) => {
        const [number, name] = [make("b"), make("span")];
        const node = make("i", "attn-hc-tile", {}, number, name);
        node.addEventListener("click", () => set({ query: Number(node.dataset.point) }));
        return { node, number, name };
      });
      const node = make("div", "attn-hc-line", {}, ...all.map((tile) => tile.node));
      return { all, parts: [make("p", "attn-hc-title", {}, text), node] };
    };
    const [stand, sorted] = [line("in order"), line("sorted by bucket, cut into chunks")];
    tiles = { stand: stand.all, sorted: sorted.all };
    threads = angles.map(() => svg("line"));
    const strings = svg("svg", { class: "attn-hc-threads", viewBox: `0 0 ${angles.length} 1`, preserveAspectRatio: "none" }, ...threads);
    bars = make("div", "attn-hc-bars");
    rows.style.setProperty("--many", angles.length);
    rows.replaceChildren(...stand.parts, strings, sorted.parts[1], bars, sorted.parts[0]);
    chunking.input.max = angles.length;
    asking.input.max = angles.length - 1;
  }

  function draw() {
    const { angles, buckets, chunk, turn, query, causal } = state;
    const { hashed, order, place, met } = lshOf(state);
    const pairs = met.flatMap((row, i) => row.filter((m, j) => m && i !== j)).length;
    const full = (angles.length * (angles.length - 1)) / (causal ? 2 : 1);
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    for (const [name, value] of Object.entries({ hashed, order, met: met.map((row) => row.map(Number)), pairs, full }))
      figure.dataset[name] = JSON.stringify(value);
    turning.show(turn);
    chunking.show(chunk);
    asking.show(query);
    box.checked = causal;

    sectors.forEach(({ group, name }, b) => {
      const angle = turn + (360 / buckets) * b;
      group.setAttribute("transform", `rotate(${-angle})`);
      const [x, y] = at(angle, 1.24);
      name.setAttribute("x", x);
      name.setAttribute("y", y);
    });
    const kind = (j) => {
      if (j === query) return "query";
      if (hashed[j] !== hashed[query]) return "other";
      return met[query][j] ? "seen" : causal && j > query ? "late" : "out";
    };
    dots.forEach((node, j) => node.setAttribute("class", `attn-hc-dot attn-hc-${kind(j)}`));
    links.forEach((link, j) => {
      link.style.display = kind(j) === "seen" ? "" : "none";
      const [[x1, y1], [x2, y2]] = [at(angles[query], 1), at(angles[j], 1)];
      for (const [key, value] of Object.entries({ x1, y1, x2, y2 })) link.setAttribute(key, value);
    });
    const show = ({ node, number, name }, i) => {
      node.className = `attn-hc-tile attn-hc-tone${hashed[i] % 4} attn-hc-${kind(i)}`;
      node.dataset.point = i;
      number.textContent = i + 1;
      name.textContent = letterOf(hashed[i]);
    };
    tiles.stand.forEach((tile, i) => show(tile, i));
    tiles.sorted.forEach((tile, p) => show(tile, order[p]));
    threads.forEach((thread, i) => {
      for (const [key, value] of Object.entries({ x1: i + 0.5, y1: 0, x2: place[i] + 0.5, y2: 1 })) thread.setAttribute(key, value);
      thread.setAttribute("class", `attn-hc-thread attn-hc-${kind(i)}`);
    });
    const own = Math.floor(place[query] / chunk);
    const pieces = Array.from({ length: Math.ceil(angles.length / chunk) }, (_, n) => {
      const wide = Math.min(chunk, angles.length - n * chunk);
      const read = n === own || n === own - 1;
      return make("i", read ? "attn-hc-read-chunk" : "", { style: `grid-column: span ${wide}` }, n + 1);
    });
    bars.replaceChildren(...pieces);

    const keys = met[query].flatMap((m, j) => (m && j !== query ? [j + 1] : []));
    const missed = hashed.flatMap((_, j) => (kind(j) === "out" ? [j + 1] : []));
    const read = own ? `chunks ${own} and ${own + 1}` : "chunk 1";
    const reach = keys.length ? keys.join(", ") : "itself alone";
    const lost = missed.length ? ` Out of reach in the same bucket: ${missed.join(", ")}.` : "";
    sentence.textContent = `Point ${query + 1} is in bucket ${letterOf(hashed[query])} and looks in ${read}. It may attend to ${reach}.${lost}`;
    wheel.setAttribute("aria-label", `${angles.length} points on a circle. In bucket ${letterOf(hashed[query])}: ${angles.flatMap((_, j) => (hashed[j] === hashed[query] ? [j + 1] : [])).join(", ")}`);
    total.textContent = `Pairs met by all points: ${pairs} of ${full}.`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.query >= next.angles.length || next.chunk > next.angles.length || next.buckets % 2) return;
    const same = state && next.angles === state.angles && next.buckets === state.buckets;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure, () => cancelAnimationFrame(spinning));
}

export default { render };
