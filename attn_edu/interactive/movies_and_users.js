// Movies and users. Rows are users, columns films.

function match({ preferences, contents }) {
  const scores = preferences.map((taste) => contents.map((film) => dot(taste, film)));
  const weights = scores.map((row) => softmax(row, 1));
  const ideal = weights.map((row) => contents[0].map((_, f) => dot(row, contents.map((film) => film[f]))));
  return { scores, weights, ideal };
}

// A bar to the right of a middle line for what is positive, to the left for what is not.
function balance() {
  const bar = make("b");
  const node = make("i", "attn-balance", { "aria-hidden": true }, bar);
  const draw = (x) => {
    bar.className = x < 0 ? "attn-minus" : "";
    bar.style.width = `${50 * Math.abs(x)}%`;
  };
  return { node, draw };
}

function buildScores(users, films, pick) {
  const heads = films.map((name) => make("div", "attn-head", { role: "columnheader" }, word(name)));
  const corner = make("div", "attn-faint", { role: "columnheader" }, "score");
  const lines = users.map((name, i) => {
    const head = make("div", "attn-row-head", { role: "rowheader" }, word(name));
    const cells = films.map((_, j) => {
      const radio = make("input", "", { type: "radio", name: "match" });
      radio.addEventListener("change", () => pick(i, j));
      radio.addEventListener("keydown", (event) => {
        const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const row = clamp(i + step, 0, users.length - 1);
        lines[row].cells[j].radio.focus();
        pick(row, j);
      });
      const text = make("span");
      return { node: make("div", "attn-cell", { role: "cell" }, radio, text), radio, text };
    });
    const node = make("div", "attn-row", { role: "row" }, head, ...cells.map((cell) => cell.node));
    return { node, head, cells };
  });
  const top = make("div", "attn-row", { role: "row" }, corner, ...heads);
  const label = "Scores, a row for each user and a column for each film";
  const table = make("div", "", { role: "table", "aria-label": label }, top, ...lines.map((line) => line.node));
  // Radio buttons of one name belong together within a form, so two figures do not disturb each other.
  const node = make("form", "attn-scores", {}, table);
  node.addEventListener("submit", (event) => event.preventDefault());
  return { node, heads, lines };
}

function buildReason(features, like) {
  const title = make("div", "attn-title");
  const lines = features.map((name, f) => {
    const slider = make("input", "", { type: "range", min: -1, max: 1, step: 0.1 });
    slider.addEventListener("input", () => like(f, Number(slider.value)));
    const product = make("span", "attn-product");
    const bar = balance();
    const part = make("span", "attn-number");
    const node = make("div", "attn-line", {}, word(name), slider, product, bar.node, part);
    return { node, slider, product, bar, part };
  });
  const score = make("strong", "attn-number");
  const total = make("div", "attn-total", {}, make("span", "", {}, "score, their sum"), score);
  return { node: make("div", "attn-reason", {}, title, ...lines.map((line) => line.node), total), title, lines, score };
}

function buildMix(films, features, contents) {
  const title = make("div", "attn-title");
  const names = ["film", "weight", "film × weight"].map((name) => make("div", "", { role: "columnheader" }, name));
  const lines = films.map((name) => {
    const bar = make("b");
    const weight = make("span");
    const vector = strip(contents);
    const node = make(
      "div",
      "attn-term",
      { role: "row" },
      make("div", "attn-film", { role: "rowheader" }, word(name)),
      make("div", "attn-weight", { role: "cell" }, make("i", "attn-bar", {}, bar), weight),
      make("div", "", { role: "cell" }, vector.node),
    );
    return { node, bar, weight, vector };
  });
  const top = make("div", "attn-term attn-faint", { role: "row" }, ...names);
  const label = "The user's weights, a row for each film";
  const table = make("div", "attn-terms", { role: "table", "aria-label": label }, top, ...lines.map((line) => line.node));
  const ideal = strip(contents);
  const total = make("div", "attn-total", {}, make("span", "", {}, "ideal film"), ideal.node);
  const numbers = features.map(() => make("span"));
  const list = make("div", "attn-numbers", {}, ...numbers);
  const order = features.flatMap((name, f) => [f ? ", " : "", word(name)]);
  const note = make("div", "attn-faint", {}, "bars: ", ...order, make("br"), "pale: film, solid: film × weight");
  return { node: make("div", "attn-mix", {}, title, table, total, list, note), title, lines, ideal, numbers };
}

function render({ model, el }) {
  const names = ["users", "films", "features", "preferences", "contents", "user", "film", "caption"];
  const first = Object.fromEntries(["preferences", "user", "film"].map((name) => [name, model.get(name)]));
  let state, users, films, most, scores, reason, mix;

  const set = setter(model);
  const pick = (user, film) => set({ user, film });
  const like = (feature, amount) =>
    set({
      preferences: state.preferences.map((taste, i) =>
        i === state.user ? taste.map((old, f) => (f === feature ? amount : old)) : taste,
      ),
    });

  const reset = button("Reset", () => {
    const { preferences, contents } = state;
    const fits = first.preferences.length === preferences.length && first.preferences[0].length === preferences[0].length;
    if (fits && first.film < contents.length) set(first);
  });
  const body = make("div", "attn-body");
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Movies and users", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-movies", attributes, body, sentence, caption);

  function build() {
    users = distinct(state.users);
    films = distinct(state.films);
    most = Math.max(...state.contents.map((film) => film.reduce((sum, x) => sum + Math.abs(x), 0))) || 1;
    scores = buildScores(users, films, pick);
    reason = buildReason(state.features, like);
    mix = buildMix(films, state.features, state.contents);
    figure.style.setProperty("--films", films.length);
    figure.style.setProperty("--widths", state.features.length);
    const left = make("div", "attn-left", {}, scores.node, reason.node, make("div", "attn-controls", {}, reset));
    body.replaceChildren(left, mix.node);
  }

  function draw() {
    const { scores: score, weights, ideal } = match(state);
    const { user, film, features, preferences, contents } = state;
    const userName = () => make("span", "attn-user", {}, word(users[user]));
    const filmName = () => make("span", "attn-film", {}, word(films[film]));
    figure.dataset.preferences = JSON.stringify(preferences);
    figure.dataset.user = user;
    figure.dataset.film = film;

    scores.lines.forEach(({ node, cells }, i) => {
      node.classList.toggle("attn-on", i === user);
      cells.forEach((cell, j) => {
        const text = number(score[i][j]);
        cell.node.dataset.score = score[i][j];
        cell.node.dataset.weight = weights[i][j];
        cell.node.style.setProperty("--size", Math.abs(score[i][j]) / most);
        cell.node.className = `attn-cell ${score[i][j] < 0 ? "attn-minus" : ""}`;
        cell.text.textContent = text;
        cell.radio.checked = i === user && j === film;
        cell.radio.setAttribute("aria-label", `${users[i]}, ${films[j]}: ${text}`);
      });
    });
    scores.heads.forEach((node, j) => node.classList.toggle("attn-on", j === film));

    reason.title.replaceChildren("Taste of ", userName(), " × ", filmName());
    reason.lines.forEach(({ slider, product, bar, part }, f) => {
      const [taste, content] = [preferences[user][f], contents[film][f]];
      slider.value = taste;
      slider.setAttribute("aria-label", `Taste of ${users[user]} for ${features[f]}`);
      slider.setAttribute("aria-valuetext", number(taste));
      product.replaceChildren(
        make("span", "attn-user attn-number", {}, number(taste)),
        " × ",
        make("span", "attn-film attn-number", {}, number(content)),
      );
      bar.draw(taste * content);
      part.dataset.part = taste * content;
      part.textContent = number(taste * content);
    });
    reason.score.textContent = number(score[user][film]);

    mix.title.replaceChildren("The mixture for ", userName());
    mix.lines.forEach(({ node, bar, weight, vector }, j) => {
      node.classList.toggle("attn-on", j === film);
      bar.style.width = `${100 * weights[user][j]}%`;
      weight.textContent = weights[user][j].toFixed(2);
      vector.draw(contents[j], weights[user][j]);
    });
    mix.ideal.draw(ideal[user], 1);
    mix.numbers.forEach((node, f) => {
      node.dataset.ideal = ideal[user][f];
      node.textContent = number(ideal[user][f]);
    });

    const share = `: score ${number(score[user][film])}, weight ${weights[user][film].toFixed(2)}. `;
    const mixed = features.flatMap((name, f) => [f ? ", " : "", word(name), ` ${number(ideal[user][f])}`]);
    sentence.replaceChildren(userName(), " and ", filmName(), share, "Ideal film: ", ...mixed, ".");
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    const { preferences, contents, user, film } = next;
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.users.length !== preferences.length || next.films.length !== contents.length) return;
    if ([...preferences, ...contents].some((row) => row.length !== next.features.length)) return;
    if (user >= preferences.length || film >= contents.length) return;
    const same = ["users", "films", "features", "contents"].every((name) => next[name] === state?.[name]);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
