// Two sentences and the weights between their words. Rows of a matrix are target words, columns source words.

const PARTS = 10000; // weights are whole ten-thousandths, so that sums are exact
const FAINT = 0.02; // thinner lines are left out
const parts = (w) => Math.round(w * PARTS);
const hundredths = (n) => (Math.floor((n + 50) / 100) / 100).toFixed(2);

// The chosen word's row, or its column.
const seen = (matrix, side, word) => (side === "target" ? matrix[word] : matrix.map((row) => row[word]));
const agreement = (weights, truths) => {
  const known = weights.map((_, i) => i).filter((i) => truths[i].includes(1));
  return [known.filter((i) => truths[i][largest(weights[i])]).length, known.length];
};

function render({ model, el }) {
  const moved = ["example", "side", "word", "truth"];
  const names = ["sources", "targets", "weights", "alignments", ...moved, "caption"];
  let state, pick, sides;

  const set = setter(model);

  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ truth: box.checked }));
  const tick = make("label", "", {}, box, "true alignment");
  const controls = make("div", "attn-controls");
  const body = make("div", "attn-ta-body");
  const legend = make("p", "attn-ta-legend");
  const sentence = make("p", "attn-ta-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Translation and alignment", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-ta", attributes, controls, body, legend, sentence, caption);

  // One picture for sentences above each other and one for sentences side by side; the page shows one of them.
  const pictures = ["across", "down"].map((way) =>
    svg("svg", { class: `attn-ta-${way}`, viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": true }),
  );

  // A sentence: its words are buttons, of which Tab reaches one.
  function line(side, words, title) {
    const buttons = words.map((text, n) => {
      const share = make("small", "");
      const node = make("button", "attn-ta-word", { type: "button" }, word(text), share);
      const choose = () => (state.side !== side || state.word !== n) && set({ side, word: n });
      for (const event of ["pointermove", "pointerdown", "focus", "click"]) node.addEventListener(event, choose);
      return { node, share };
    });
    const label = make("span", `attn-ta-label attn-ta-${side}`, {}, title);
    const place = side === "source" ? "from" : "into";
    const group = { role: "group", "aria-label": `${side} sentence` };
    const row = make("div", `attn-ta-words attn-ta-${place}`, group, ...buttons.map(({ node }) => node));
    return { label, row, buttons };
  }

  function keys(event) {
    const { side, word: n } = state;
    const down = getComputedStyle(pictures[0]).display === "none";
    const [back, on, away] = down ? ["ArrowUp", "ArrowDown", ["ArrowLeft", "ArrowRight"]] : ["ArrowLeft", "ArrowRight", ["ArrowUp", "ArrowDown"]];
    const own = sides[side].buttons;
    const other = side === "target" ? "source" : "target";
    const go = { [back]: [side, n - 1], [on]: [side, n + 1], Home: [side, 0], End: [side, own.length - 1] };
    // Across, along the thickest line.
    for (const key of away) go[key] = [other, largest(seen(state.weights[state.example], side, n))];
    const [to, place] = go[event.key] ?? [];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const { buttons } = sides[to];
    buttons[clamp(place, 0, buttons.length - 1)].node.focus();
  }
  body.addEventListener("keydown", keys);

  // The switch stays while the sentences do, or who has turned it would lose it.
  function offer() {
    const { sources, alignments } = state;
    pick = choice("Sentence", sources.map((_, n) => `${n + 1}`), (n) => set({ side: "target", word: 0, example: n }));
    const label = make("span", "", { "aria-hidden": true }, "Sentence");
    const picks = make("div", "attn-ta-pick", {}, label, pick.node);
    picks.hidden = sources.length < 2;
    tick.hidden = !alignments;
    controls.replaceChildren(picks, tick);
    controls.hidden = picks.hidden && tick.hidden;
  }

  function build() {
    const { sources, targets, example } = state;
    sides = {
      source: line("source", sources[example], "source: keys"),
      target: line("target", targets[example], "target: queries"),
    };
    // About how many pixels the words want in a row; beyond that they stand in columns on any screen.
    const wanted = (words) => words.length * (Math.max(...words.map(letters)) * 6.7 + 8);
    const width = Math.max(wanted(sources[example]), wanted(targets[example]));
    figure.classList.toggle("attn-ta-tall", width > 620);
    figure.style.setProperty("--words", Math.max(sources[example].length, targets[example].length));
    const { source, target } = sides;
    body.replaceChildren(source.label, source.row, ...pictures, target.row, target.label);
  }

  // Lines between the middles of words, the source at 0 and the target at 1.
  function lines(rows, kind, shape) {
    const [targets, sources] = [rows.length, rows[0].length];
    const drawn = rows.flatMap((row, i) => row.flatMap((value, j) => (value ? [[i, j, value]] : [])));
    for (const [i, j, value] of drawn) {
      const [from, to] = [(j + 0.5) / sources, (i + 0.5) / targets];
      const on = (state.side === "target" ? i : j) === state.word;
      const look = { class: `attn-ta-${kind}${on ? " attn-ta-on" : ""}`, "data-i": i, "data-j": j, ...shape(value, on) };
      pictures[0].append(svg("line", { ...look, x1: from, y1: 0, x2: to, y2: 1 }));
      pictures[1].append(svg("line", { ...look, x1: 0, y1: from, x2: 1, y2: to }));
    }
  }

  function draw() {
    const { example, side, word: n, truth } = state;
    const weights = state.weights[example];
    const truths = state.alignments?.[example];
    const shares = seen(weights, side, n);
    const counts = shares.map(parts);
    const total = sumOf(counts) / PARTS;
    const fits = truths ? agreement(weights, truths) : null;
    figure.dataset.state = JSON.stringify(Object.fromEntries(moved.map((name) => [name, state[name]])));
    for (const [name, value] of Object.entries({ shares, total, agreement: fits })) figure.dataset[name] = JSON.stringify(value);

    pick.show(example);
    box.checked = truth;
    const other = side === "target" ? "source" : "target";
    const real = truths && truth ? seen(truths, side, n) : null;
    for (const [name, { buttons }] of Object.entries(sides))
      buttons.forEach(({ node, share }, m) => {
        const chosen = name === side && m === n;
        const weight = name === other ? shares[m] : 0;
        node.className = `attn-ta-word attn-ta-${name}`;
        node.classList.toggle("attn-ta-chosen", chosen);
        node.classList.toggle("attn-ta-lit", name === other);
        node.classList.toggle("attn-ta-deep", weight > 0.621);
        node.classList.toggle("attn-ta-true", name === other && !!real?.[m]);
        node.style.setProperty("--weight", weight);
        node.setAttribute("aria-pressed", chosen);
        // Tab enters a sentence at the chosen word, or where the thickest line leads.
        node.tabIndex = m === (name === side ? n : largest(shares)) ? 0 : -1;
        share.textContent = name === other ? hundredths(counts[m]).replace(/^0/, "") : chosen ? `Σ ${hundredths(sumOf(counts))}` : "";
      });
    for (const picture of pictures) picture.replaceChildren();
    const shown = weights.map((row) => row.map((w) => (w < FAINT ? 0 : w)));
    lines(shown, "line", (w, on) => ({ "stroke-width": 1 + 9 * w, "stroke-opacity": on ? 0.35 + 0.65 * w : 0.25 * w }));
    if (real) lines(truths, "truth", () => ({}));

    const own = distinct(state[`${side}s`][example]);
    const others = distinct(state[`${other}s`][example]);
    const order = counts.map((_, m) => m).sort((a, b) => counts[b] - counts[a]);
    const named = order.slice(0, 3).flatMap((m, k) => [k ? ", " : "", word(others[m]), ` ${hundredths(counts[m])}`]);
    const left = order.slice(3).map((m) => counts[m]);
    const rest = left.length ? `; ${left.length} other word${left.length > 1 ? "s" : ""} ${hundredths(sumOf(left))}` : "";
    const [verb, kind] = side === "target" ? ["looks at", "row"] : ["is looked at by", "column"];
    const tail = side === "target" ? "." : ", which need not be 1.";
    sentence.replaceChildren(`The ${side} word “`, word(own[n]), `” ${verb} `, ...named, `${rest}. A ${kind}: the weights sum to ${hundredths(sumOf(counts))}${tail}`);
    if (real) {
      const from = others.filter((_, m) => real[m]).flatMap((text, k) => [k ? " and " : "", word(text)]);
      const way = side === "target" ? "comes from" : "goes into";
      const [hits, of] = fits;
      sentence.append(" In truth “", word(own[n]), `” ${way} `, ...(from.length ? from : ["no word"]), `. Largest weight on a true word: ${hits} of ${of} target words.`);
    }
    legend.textContent = `Thicker and bluer: more weight.${real ? " Dashed: the true alignment." : ""}`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Several names are set one after the other; until the last has come, they may not fit.
    const own = next[`${next.side}s`][next.example];
    if (!own || next.word >= own.length) return;
    if (["targets", "weights", "alignments"].some((name) => next[name] && next[name].length !== next.sources.length)) return;
    const [source, target] = [next.sources[next.example], next.targets[next.example]];
    const fits = (matrix) => matrix.length === target.length && matrix[0].length === source.length;
    if (!fits(next.weights[next.example]) || (next.alignments && !fits(next.alignments[next.example]))) return;
    const stays = (...kept) => state && kept.every((name) => next[name] === state[name]);
    const [offered, same] = [stays("sources", "alignments"), stays("sources", "targets", "alignments", "example")];
    state = next;
    if (!offered) offer();
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
