// An image, its caption, and the weights of each word: a row of them has a number for each cell, in reading order.

// One word's weights, or, after the last, those of all words together.
const gaze = (map, n) => (n < map.length ? map[n] : map[0].map((_, j) => map.reduce((sum, row) => sum + row[j], 0)));
const SEEN = 0.005; // smaller weights are not written out

function render({ model, el }) {
  const moved = ["image", "word", "view"];
  const names = ["images", "captions", "weights", "grid", ...moved, "caption"];
  let state, picks, cells, buttons;

  const set = setter(model);
  const place = (j) => `row ${Math.floor(j / state.grid[1]) + 1}, column ${(j % state.grid[1]) + 1}`;

  const controls = make("div", "attn-controls");
  const canvas = make("canvas", "attn-gaze-image", { "aria-hidden": true });
  const veil = make("div", "attn-gaze-veil", { "aria-hidden": true });
  const picture = make("div", "attn-gaze-picture", { role: "img" }, canvas, veil);
  const words = make("div", "attn-gaze-words", { role: "group", "aria-label": "The words of the caption" });
  const body = make("div", "attn-gaze-body", {}, picture, words);
  const legend = make("p", "attn-gaze-legend", {}, "Clear: looked at. Dark: not. Frame: the largest weight. Σ: all words together.");
  const sentence = make("p", "attn-gaze-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Where the words of a caption look", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-gaze", attributes, controls, body, legend, sentence, caption);

  // A word is a button with its map in small; Tab reaches one of them, arrows the others.
  function button(text, n, count) {
    const minis = Array.from({ length: count }, () => make("i"));
    const mini = make("span", "attn-gaze-mini", { "aria-hidden": true }, ...minis);
    const node = make("button", "attn-gaze-word", { type: "button" }, text, mini);
    const choose = () => state.word !== n && set({ word: n });
    for (const event of ["pointermove", "pointerdown", "focus", "click"]) node.addEventListener(event, choose);
    return { node, minis };
  }

  words.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -buttons.length, End: buttons.length };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    buttons[clamp(state.word + step, 0, buttons.length - 1)].node.focus();
  });

  // The switches stay while the images and the names of the weights do, or who has turned one would lose it.
  function offer() {
    const { images, weights } = state;
    const views = Object.keys(weights);
    picks = {
      image: choice("Image", images.map((_, n) => `${n + 1}`), (n) => set({ word: 0, image: n })),
      view: choice("Weights", views.map(word), (n) => set({ view: views[n] })),
    };
    const shown = Object.entries({ image: "Image", view: "Weights" }).map(([name, title]) =>
      make("div", "attn-gaze-pick", {}, make("span", "", { "aria-hidden": true }, title), picks[name].node),
    );
    shown[0].hidden = images.length < 2;
    shown[1].hidden = views.length < 2;
    controls.hidden = shown.every((node) => node.hidden);
    controls.replaceChildren(...shown);
  }

  function build() {
    const { images, captions, grid, image } = state;
    const pixels = images[image];
    [canvas.height, canvas.width] = [pixels.length, pixels[0].length];
    const context = canvas.getContext("2d");
    const data = context.createImageData(canvas.width, canvas.height);
    pixels.flat().forEach((rgb, p) => data.data.set([...rgb.map((x) => Math.round(255 * x)), 255], 4 * p));
    context.putImageData(data, 0, 0);

    const count = grid[0] * grid[1];
    figure.style.setProperty("--columns", grid[1]);
    figure.style.setProperty("--shape", canvas.width / canvas.height);
    figure.classList.toggle("attn-gaze-fine", Math.max(...grid) > 5);
    cells = Array.from({ length: count }, () => make("span", "attn-gaze-cell", {}, make("b")));
    veil.replaceChildren(...cells);
    buttons = [...captions[image].map(word), "Σ"].map((text, n) => button(text, n, count));
    buttons.at(-1).node.setAttribute("aria-label", "All words together");
    words.replaceChildren(...buttons.map(({ node }) => node));
  }

  function draw() {
    const { captions, weights, image, word: n, view } = state;
    const map = weights[view][image];
    const row = gaze(map, n);
    const most = largest(row);
    figure.dataset.state = JSON.stringify({ image, word: n, view });
    figure.dataset.gaze = JSON.stringify(row);
    figure.dataset.total = JSON.stringify(gaze(map, map.length));

    picks.image.show(image);
    picks.view.show(Object.keys(weights).indexOf(view));
    cells.forEach((cell, j) => {
      cell.style.setProperty("--dark", 1 - Math.sqrt(clamp(row[j], 0, 1))); // roots, or small weights would not be seen
      cell.classList.toggle("attn-gaze-most", j === most);
      cell.firstChild.textContent = row[j] < SEEN ? "" : number(row[j]).replace(/^0/, "");
    });
    buttons.forEach(({ node, minis }, m) => {
      const own = gaze(map, m);
      minis.forEach((mini, j) => mini.style.setProperty("--weight", clamp(own[j], 0, 1)));
      node.setAttribute("aria-pressed", m === n);
      node.tabIndex = m === n ? 0 : -1;
    });

    const own = [...distinct(captions[image]).map((text) => ["“", word(text), "”"]), ["all words together"]][n];
    const order = row.map((_, j) => j).sort((a, b) => row[b] - row[a] || a - b);
    const top = order.slice(0, 2).filter((j, k) => !k || row[j] >= SEEN);
    const rest = order.slice(top.length);
    const tail = rest.length ? `; the other ${rest.length > 1 ? `${rest.length} cells` : "cell"} ${number(rest.reduce((sum, j) => sum + row[j], 0))}` : "";
    sentence.replaceChildren(word(view), ", ", ...own, `: ${top.map((j) => `${number(row[j])} in ${place(j)}`).join("; ")}${tail}.`);
    const all = row.map((x, j) => `${j && j % state.grid[1] === 0 ? "; " : j ? " " : ""}${number(x)}`).join("");
    picture.setAttribute("aria-label", `Image ${image + 1}: ${captions[image].join(" ")}. Weights, row by row: ${all}`);
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    const [own, map] = [next.captions[next.image], next.weights[next.view]?.[next.image]];
    if (!own || next.images.length !== next.captions.length || next.word > own.length) return;
    if (map?.length !== own.length || map[0].length !== next.grid[0] * next.grid[1]) return;
    if (Object.values(next.weights).some((maps) => maps.length !== next.images.length)) return;
    const stays = (...kept) => state && kept.every((name) => next[name] === state[name]);
    const [same, offered] = [stays("images", "captions", "weights", "grid", "image"), stays("images", "weights")];
    const focused = words.contains(document.activeElement);
    state = next;
    if (!offered) offer();
    if (!same) build();
    draw();
    if (!same && focused) buttons[state.word].node.focus();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
