// What reaches one output of axial layers. Ways are counted backwards, from the output to the pixels of the input.

const ORDER = ["row", "column", "row"];

const along = {
  row: (ways) => ways.map((row) => row.map(() => sumOf(row))),
  column: (ways) => ways.map((row) => row.map((_, c) => ways.reduce((sum, other) => sum + other[c], 0))),
};
const both = (ways) => {
  const [rows, columns] = [along.row(ways), along.column(ways)];
  return rows.map((row, r) => row.map((n, c) => n + columns[r][c]));
};

function render({ model, el }) {
  const names = ["rows", "columns", "layers", "row", "column", "caption"];
  const first = Object.fromEntries(["layers", "row", "column"].map((name) => [name, model.get(name)]));
  let state, panels;

  const set = setter(model);

  const layers = choice("Layers", ["1", "2", "3"], (n) => set({ layers: n + 1 }));
  const reset = button("Reset", () => set(first));
  const label = make("span", "attn-reach-label", { "aria-hidden": true }, "Layers");
  const controls = make("div", "attn-controls", {}, make("div", "attn-reach-pick", {}, label, layers.node), reset);
  const body = make("div", "attn-reach-body");
  const note = make("p", "attn-reach-note", {}, "Purple frame: the output. Shaded: pixels that it sees. Numbers: ways from there to the output.");
  const sentence = make("p", "attn-reach-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "What axial layers see", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-reach", attributes, controls, body, note, sentence, caption);

  // `tell` makes a panel a grid for the keyboard; the other one is read as a picture.
  function panel(tell) {
    const cells = Array.from({ length: state.rows }, () =>
      Array.from({ length: state.columns }, () => make("div", "attn-reach-cell", tell ? { role: "gridcell" } : {})),
    );
    const lines = cells.map((row) => make("div", "attn-reach-line", tell ? { role: "row" } : {}, ...row));
    const role = tell ? { role: "grid", "aria-label": "The output: arrow keys choose it" } : { role: "img" };
    const grid = make("div", "attn-reach-grid", role, ...lines);
    grid.addEventListener("click", ({ target }) => {
      const row = cells.findIndex((line) => line.includes(target));
      if (row >= 0) set({ row: row + 1, column: cells[row].indexOf(target) + 1 });
    });
    const title = make("p", "attn-reach-title");
    return { node: make("div", "attn-reach-panel", {}, title, grid), title, grid, cells };
  }

  function step(event) {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    if (down === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    set({ row: clamp(state.row + down, 1, state.rows), column: clamp(state.column + right, 1, state.columns) });
    panels[0].cells[state.row - 1][state.column - 1].focus();
  }

  function build() {
    figure.style.setProperty("--columns", state.columns);
    panels = [panel(true), panel(false)];
    panels[0].grid.addEventListener("keydown", step);
    body.replaceChildren(...panels.map(({ node }) => node));
  }

  function draw() {
    const { rows, columns, row, column } = state;
    const order = ORDER.slice(0, state.layers);
    const output = Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => Number(r === row - 1 && c === column - 1)));
    const stacked = order.reduceRight((ways, axis) => along[axis](ways), output);
    const summed = order.reduce((ways) => both(ways), output);
    figure.dataset.state = JSON.stringify({ layers: state.layers, row, column });
    figure.dataset.stacked = JSON.stringify(stacked);
    figure.dataset.summed = JSON.stringify(summed);

    layers.show(state.layers - 1);
    const seen = (ways) => ways.flat().filter((n) => n > 0).length;
    [stacked, summed].forEach((ways, n) => {
      panels[n].cells.forEach((line, r) =>
        line.forEach((cell, c) => {
          const count = ways[r][c];
          const here = r === row - 1 && c === column - 1;
          cell.textContent = count || "";
          cell.classList.toggle("attn-reach-seen", count > 0);
          cell.classList.toggle("attn-reach-here", here);
          if (n) return;
          cell.tabIndex = here ? 0 : -1;
          cell.setAttribute("aria-selected", here);
          cell.setAttribute("aria-label", `row ${r + 1}, column ${c + 1}: ${count} stacked, ${summed[r][c]} summed`);
        }),
      );
    });
    const total = rows * columns;
    const deep = `${state.layers} layer${state.layers > 1 ? "s" : ""}`;
    panels[0].title.textContent = `Stacked (${order.join(", ")}): sees ${seen(stacked)} of ${total}`;
    panels[1].title.textContent = `Summed (${deep}): sees ${seen(summed)} of ${total}`;
    const list = summed.map((line, r) => `row ${r + 1}: ${line.join(" ")}`).join("; ");
    panels[1].grid.setAttribute("aria-label", `Ways through summed layers: ${list}`);
    sentence.textContent =
      `The output at row ${row}, column ${column} after ${deep}: stacked (${order.join(", ")}) it sees ` +
      `${seen(stacked)} of ${total} pixels, summed ${seen(summed)}.`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.row > next.rows || next.column > next.columns) return;
    const same = state && next.rows === state.rows && next.columns === state.columns;
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
