// A 3 × 3 convolution as nine heads. Pixels are in reading order; heads[n][j] is what head n takes of pixel j.

const OFFSETS = [-1, 0, 1].flatMap((a) => [-1, 0, 1].map((b) => [a, b]));

function look({ image, kernel, row, column, mask, alpha }) {
  const [pixels, parts] = [image.flat(), kernel.flat()];
  const [width, last] = [image[0].length, image.length - 1];
  const heads = OFFSETS.map(([a, b]) => {
    const squares = pixels.map((_, j) => (Math.floor(j / width) - row - a) ** 2 + ((j % width) - column - b) ** 2);
    return mask ? squares.map((square) => Number(square === 0)) : softmax(squares.map((square) => -alpha * square), 1);
  });
  const seen = heads.map((weights) => dot(weights, pixels));
  const products = seen.map((x, n) => parts[n] * x);
  const effect = pixels.map((_, j) => dot(parts, heads.map((weights) => weights[j])));
  const outside = OFFSETS.map(([a, b]) => image[row + a]?.[column + b] === undefined);
  const padded = (beyond) => sumOf(OFFSETS.map(([a, b], n) => parts[n] * (image[row + a]?.[column + b] ?? beyond(row + a, column + b))));
  const zero = padded(() => 0);
  const replicate = padded((r, c) => image[clamp(r, 0, last)][clamp(c, 0, width - 1)]);
  return { heads, seen, products, effect, outside, output: sumOf(products), zero, replicate };
}

// At most so many decimals, fewer for what is not small.
function short(x, most = 2) {
  const size = Math.abs(x);
  return String(Number(x.toFixed(size < 9.95 ? most : size < 99.5 ? most - 1 : 0))).replace("-", "−");
}

function where([a, b]) {
  const side = [["above", "", "below"][a + 1], ["left", "", "right"][b + 1]].filter(Boolean).join(" ");
  return side || "at the pixel itself";
}

// Colour by a weight of either sign. Roots, or small weights would not be seen.
function tint(node, weight, most) {
  node.style.setProperty("--size", Math.sqrt(Math.min(1, Math.abs(weight) / most)));
  node.classList.toggle("attn-minus", weight < 0);
}

function render({ model, el }) {
  const names = ["image", "kernel", "row", "column", "head", "mask", "alpha", "caption"];
  const first = Object.fromEntries(names.slice(2, 7).map((name) => [name, model.get(name)]));
  let state, height, width, cells;

  const place = (j) => `row ${Math.floor(j / width) + 1}, column ${(j % width) + 1}`;
  const set = setter(model);

  const mode = choice("Where the weights come from", ["one-hot (mask)", "softmax"], (n) => set({ mask: n === 0 }));
  const slider = make("input", "", { type: "range", min: -8, max: 8, step: 1 });
  slider.addEventListener("input", () => set({ alpha: 2 ** (slider.value / 2) }));
  const reading = make("span", "attn-reading", { "aria-hidden": true });
  const reset = button("Reset", () => first.row < height && first.column < width && set(first));
  const controls = make("div", "attn-controls", {}, mode.node, make("label", "", {}, "sharpness α", slider, reading), reset);

  const ghosts = OFFSETS.map(() => make("div", "attn-ghost", { "aria-hidden": true }));
  const grid = make("div", "attn-image", { role: "grid", "aria-label": "Image: arrow keys choose a pixel" });

  // Head 0 is all nine.
  const group = `attn-${Math.random()}`; // so that two figures do not disturb each other
  const tiles = [undefined, ...OFFSETS].map((offset, n) => {
    const radio = make("input", "", { type: "radio", name: group });
    radio.addEventListener("change", () => set({ head: n }));
    const [map, part, seen, product] = [make("div", "attn-map"), make("span"), make("span"), make("b")];
    const node = offset
      ? make("label", "attn-tile", {}, radio, map, make("small", "", {}, `head ${n}`), part, seen, product)
      : make("label", "attn-tile attn-every", {}, radio, "all nine heads together");
    return { node, radio, map, part, seen, product };
  });
  const heads = make("div", "attn-tiles", { role: "radiogroup", "aria-label": "Head" }, ...tiles.map(({ node }) => node));

  const results = ["attention: sum of nine heads", "convolution, zeros outside", "convolution, border repeated"].map((name) => {
    const [value, apart] = [make("b"), make("small")];
    return { node: make("div", "attn-result", {}, make("span", "", {}, name), value, apart), value, apart };
  });
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const legend = make("p", "attn-legend");
  const body = make("div", "attn-body", {}, make("div", "", {}, grid, legend), heads);
  const three = make("div", "attn-results", {}, ...results.map(({ node }) => node));
  const attributes = { "aria-label": "Convolution as attention", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-conv", attributes, controls, body, three, sentence, caption);

  grid.addEventListener("click", ({ target }) => {
    const j = cells.indexOf(target.closest("[role=gridcell]"));
    if (j >= 0) set({ row: Math.floor(j / width), column: j % width });
  });
  grid.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const [down, right] = moves[event.key] ?? [];
    if (down === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    set({ row: clamp(state.row + down, 0, height - 1), column: clamp(state.column + right, 0, width - 1) });
    cells[state.row * width + state.column].focus();
  });

  function build() {
    const pixels = state.image.flat();
    [height, width] = [state.image.length, state.image[0].length];
    const [low, high] = [Math.min(...pixels), Math.max(...pixels)];
    cells = pixels.map((x, j) => {
      const grey = high > low ? 0.25 + (0.75 * (x - low)) / (high - low) : 1;
      const inner = make("span", grey > 0.565 ? "attn-bright" : "", { style: `--grey: ${grey}` }, short(x, 1));
      const style = `grid-area: ${Math.floor(j / width) + 2} / ${(j % width) + 2}`;
      return make("div", "attn-pixel", { role: "gridcell", style }, inner);
    });
    const rows = state.image.map((_, r) => make("div", "attn-row", { role: "row" }, ...cells.slice(r * width, (r + 1) * width)));
    figure.style.setProperty("--height", height);
    grid.replaceChildren(...rows, ...ghosts);
    figure.style.setProperty("--width", width);
    for (const { map } of tiles.slice(1)) map.replaceChildren(...cells.map(() => make("i")));
  }

  function draw() {
    const { image, kernel, row, column, head, mask, alpha } = state;
    const all = look(state);
    figure.dataset.state = JSON.stringify({ row, column, head, mask, alpha });
    for (const name of ["heads", "seen", "products", "effect", "output", "zero", "replicate"])
      figure.dataset[name] = JSON.stringify(all[name]);

    mode.show(mask ? 0 : 1);
    slider.disabled = mask;
    slider.value = clamp(Math.round(2 * Math.log2(alpha)), -8, 8);
    reading.textContent = mask ? "–" : Number(alpha.toPrecision(2));
    slider.setAttribute("aria-valuetext", reading.textContent);
    tiles[head].radio.checked = true;

    const most = head ? 1 : Math.max(...kernel.flat().map(Math.abs)) || 1;
    const shown = head ? all.heads[head - 1] : all.effect;
    cells.forEach((cell, j) => {
      const here = j === row * width + column;
      tint(cell, shown[j], most);
      cell.tabIndex = here ? 0 : -1;
      cell.setAttribute("aria-selected", here);
      cell.setAttribute("aria-label", `${place(j)}: ${short(image.flat()[j])}, weight ${number(shown[j])}`);
    });
    OFFSETS.forEach((offset, n) => {
      const { map, part, seen, product, node, radio } = tiles[n + 1];
      const [a, b] = offset;
      ghosts[n].hidden = !all.outside[n] || (head && head !== n + 1);
      ghosts[n].style.gridArea = `${row + a + 2} / ${column + b + 2}`;
      ghosts[n].textContent = mask ? "0" : "";
      [...map.children].forEach((mark, j) => {
        tint(mark, all.heads[n][j], 1);
        mark.classList.toggle("attn-here", j === row * width + column);
      });
      node.classList.toggle("attn-empty", mask && all.outside[n]);
      radio.setAttribute("aria-label", `head ${n + 1}, looks ${where(offset)}`);
      part.textContent = short(kernel.flat()[n]);
      seen.textContent = `· ${short(all.seen[n])}`;
      product.textContent = `= ${short(all.products[n])}`;
    });
    [all.output, all.zero, all.replicate].forEach((y, n) => {
      const [{ node, value, apart }, by] = [results[n], Math.abs(all.output - y)];
      value.textContent = number(y);
      node.classList.toggle("attn-same", by < 0.005);
      if (n) apart.textContent = by < 0.005 ? "the same" : `off by ${number(by)}`;
    });
    const what = head ? `weights of head ${head}` : "weights times kernel, summed; blue above 0, red below";
    legend.textContent = `Frames: ${what}. Purple: the chosen pixel, the query.`;
    sentence.textContent = say(all);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function say({ heads, outside }) {
    const { head, mask } = state;
    const best = heads.map((weights) => Math.max(...weights));
    const beyond = outside.filter(Boolean).length;
    if (head) {
      const [weights, most, out] = [heads[head - 1], best[head - 1], outside[head - 1]];
      const start = `Head ${head} looks ${where(OFFSETS[head - 1])}${out ? ", outside the image" : ""}`;
      if (mask) return out ? `${start}: its row of weights is empty, and it gives 0.` : `${start}, with weight 1.`;
      return `${start}. Its largest weight is ${number(most)}, at ${place(weights.indexOf(most))}.`;
    }
    if (mask && !beyond) return "Every head finds its pixel: all three numbers agree.";
    if (mask) return `${beyond} of the nine look outside. Their rows of weights are empty and give 0, as zeros outside would.`;
    const [least, most] = [Math.min(...best), Math.max(...best)].map(number);
    if (Math.min(...best) < 0.99) return `The heads blur: the largest weight of each is between ${least} and ${most}.`;
    if (!beyond) return "Each head has all but a hundredth on its pixel.";
    return `Each head has all but a hundredth on one pixel. The ${beyond} that look outside take the nearest pixel inside, as if the border were repeated.`;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.row >= next.image.length || next.column >= next.image[0].length) return;
    const same = next.image === state?.image;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
