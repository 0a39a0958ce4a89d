// Rotary positions: pairs of features turned by an angle that grows with the position.

function turn(vector, position, angles) {
  return vector.map((x, i) => {
    const angle = position * angles[i >> 1];
    return x * Math.cos(angle) + vector[i ^ 1] * (i % 2 ? 1 : -1) * Math.sin(angle);
  });
}

function rotate({ query, key, base }, m, n) {
  const angles = Array.from({ length: query.length / 2 }, (_, c) => base ** ((-2 * c) / query.length));
  const [turnedQuery, turnedKey] = [turn(query, m, angles), turn(key, n, angles)];
  const parts = angles.map((_, c) => turnedQuery[2 * c] * turnedKey[2 * c] + turnedQuery[2 * c + 1] * turnedKey[2 * c + 1]);
  return { angles, turnedQuery, turnedKey, parts, score: sumOf(parts) };
}

const degrees = (angle) => number((angle * 180) / Math.PI);

function render({ model, el }) {
  const names = ["query", "key", "base", "positions", "query_position", "key_position", "together", "caption"];
  const moved = ["query_position", "key_position", "together"];
  const first = Object.fromEntries(moved.map((name) => [name, model.get(name)]));
  let state, planes, curve, most;

  const set = setter(model);
  // Move one; together, the other goes the same way, as far as both stay in the row of positions.
  function move(name, value) {
    const { query_position: m, key_position: n, positions, together } = state;
    if (!together) return set({ [name]: value });
    const shift = clamp(value - state[name], -Math.min(m, n), positions - 1 - Math.max(m, n));
    if (shift) set({ query_position: m + shift, key_position: n + shift });
    draw(); // a slider that went too far comes back
  }

  const called = (role, symbol) => make("span", `attn-name attn-${role}`, {}, `${role} at `, make("var", "", {}, symbol));
  const sliderM = slider(called("query", "i"), { min: 0 }, (value) => move("query_position", value));
  const sliderN = slider(called("key", "j"), { min: 0 }, (value) => move("key_position", value));
  const box = make("input", "", { type: "checkbox" });
  box.addEventListener("change", () => set({ together: box.checked }));
  const reset = button("Reset", () => set(first));
  const both = make("label", "", {}, box, "Move both together");
  const controls = make("div", "attn-controls", {}, sliderM.node, sliderN.node, both, reset);

  const wheels = make("div", "attn-planes");
  const path = svg("path", { class: "attn-curve" });
  const points = svg("path", { class: "attn-points" });
  const marker = make("i", "attn-marker");
  const plot = chart("attn-plot", path, points);
  plot.node.append(marker);
  const sum = make("p", "attn-sum");
  const axis = make("p", "attn-axis", { "aria-hidden": true }, "offset j − i");
  const body = make("div", "attn-body", {}, wheels, make("div", "attn-panel", {}, sum, plot.node, axis));
  const sentence = make("p", "attn-sentence", { "aria-live": "polite" });
  const caption = make("p", "attn-caption");
  const attributes = { "aria-label": "Rotating pairs", "data-lm-suppress-shortcuts": true };
  const figure = make("figure", "attn-figure attn-rotary", attributes, controls, body, sentence, caption);

  // An arrow as it is at position 0, in a group that is turned; a name that stays upright.
  function arrow(role, x, y) {
    const long = Math.hypot(x, y);
    const group = svg("g", { class: `attn-${role} attn-turning` });
    const name = svg("text", { class: `attn-${role}` });
    name.append(role[0]);
    if (long < 1e-9) return { group, name, long, angle: 0 };
    const angle = Math.atan2(y, x);
    const tip = (back, side) => {
      const [a, b] = [long - back, side];
      return `${a * Math.cos(angle) - b * Math.sin(angle)} ${-(a * Math.sin(angle) + b * Math.cos(angle))}`;
    };
    const head = Math.min(0.17, long * 0.7);
    group.append(svg("path", { class: "attn-shaft", d: `M0 0L${tip(head * 0.9, 0)}` }));
    group.append(svg("path", { class: "attn-head", d: `M${tip(0, 0)}L${tip(head, head * 0.5)}L${tip(head, -head * 0.5)}Z` }));
    return { group, name, long, angle };
  }

  function addPlane(c, speed, longest) {
    const [query, key] = ["query", "key"].map((role) => arrow(role, state[role][2 * c] / longest, state[role][2 * c + 1] / longest));
    const wedge = svg("path", { class: "attn-wedge" });
    query.group.prepend(wedge);
    const cross = svg("path", { class: "attn-cross", d: "M-1 0H1M0 -1V1" });
    const canvas = svg("svg", { viewBox: "-1.32 -1.32 2.64 2.64" }, svg("circle", { class: "attn-rim", r: 1 }), cross);
    canvas.append(key.group, query.group, key.name, query.name);
    const picture = make("div", "attn-wheel", { role: "img" }, canvas);
    const bar = make("b");
    const part = make("strong");
    const title = make("p", "attn-title", {}, `pair ${c + 1}: ${degrees(speed)}° a place`);
    const foot = make("p", "attn-part", {}, "q·k here ", part);
    const node = make("div", "attn-pair", {}, title, picture, foot, make("i", "attn-bar", { "aria-hidden": true }, bar));
    return { node, query, key, wedge, picture, bar, part };
  }

  function build() {
    const { query, key, positions } = state;
    const { angles } = rotate(state, 0, 0);
    const lengths = [query, key].map((vector) => angles.map((_, c) => Math.hypot(vector[2 * c], vector[2 * c + 1])));
    const longest = Math.max(...lengths.flat()) || 1;
    most = Math.max(...lengths[0].map((a, c) => a * lengths[1][c])) || 1;
    planes = angles.map((angle, c) => addPlane(c, angle, longest));
    wheels.replaceChildren(...planes.map((plane) => plane.node));
    for (const one of [sliderM, sliderN]) one.input.max = positions - 1;

    const last = positions - 1;
    const at = (offset) => rotate(state, Math.max(0, -offset), Math.max(0, offset)).score;
    curve = Array.from({ length: 2 * last + 1 }, (_, n) => at(n - last));
    const fine = Array.from({ length: 16 * last + 1 }, (_, n) => [n / 8 - last, at(n / 8 - last)]);
    const reach = roundUp(Math.max(...fine.map(([, y]) => Math.abs(y))) || 1);
    plot.frame([-last - 0.5, last + 0.5], [-1.06 * reach, 1.06 * reach], steps(-last, last), [-reach, -reach / 2, 0, reach / 2, reach]);
    path.setAttribute("d", plot.line(fine));
    points.setAttribute("d", plot.dots(curve.map((y, n) => [n - last, y])));
  }

  function drawPlane({ query, key, wedge, picture, bar, part }, c, { angles, parts }) {
    const { query_position: m, key_position: n } = state;
    const ends = [[query, m], [key, n]].map(([one, position]) => {
      one.group.style.transform = `rotate(${-position * angles[c]}rad)`;
      return one.angle + position * angles[c];
    });
    const gap = Math.atan2(Math.sin(ends[1] - ends[0]), Math.cos(ends[1] - ends[0]));
    // The names stand beside the tips, away from each other.
    [query, key].forEach((one, role) => {
      const side = (role === 0) === (gap < 0) ? 1 : -1;
      const far = one.long + 0.1;
      const away = ends[role] + (side * 0.17) / Math.max(far, 0.3);
      one.name.style.transform = `translate(${far * Math.cos(away)}px, ${-far * Math.sin(away)}px)`;
    });
    const rim = (angle) => `${0.34 * Math.cos(angle)} ${-0.34 * Math.sin(angle)}`;
    const drawn = query.long > 1e-9 && key.long > 1e-9;
    wedge.setAttribute("d", drawn ? `M0 0L${rim(query.angle)}A0.34 0.34 0 0 ${gap > 0 ? 0 : 1} ${rim(query.angle + gap)}Z` : "");
    picture.setAttribute("aria-label", `Pair ${c + 1}: from query to key ${degrees(gap)} degrees`);
    part.textContent = number(parts[c]);
    bar.style.width = `${(50 * Math.abs(parts[c])) / most}%`;
    bar.style.left = `${50 + (50 * Math.min(0, parts[c])) / most}%`;
  }

  function draw() {
    const { query_position: m, key_position: n, positions, together } = state;
    const now = rotate(state, m, n);
    figure.dataset.state = JSON.stringify({ query_position: m, key_position: n, together });
    for (const [name, value] of Object.entries({ ...now, curve })) figure.dataset[name] = JSON.stringify(value);
    sliderM.show(m, m);
    sliderN.show(n, n);
    box.checked = together;

    planes.forEach((plane, c) => drawPlane(plane, c, now));
    const [left, top] = plot.at(n - m, now.score);
    marker.style.left = `${100 * left}%`;
    marker.style.top = `${100 * top}%`;
    plot.node.setAttribute("aria-label", `Score by offset, from ${1 - positions} to ${positions - 1}; at ${n - m} it is ${number(now.score)}`);
    const terms = now.parts.map(number).join(" + ").replaceAll("+ −", "− ");
    sum.replaceChildren("score ", planes.length > 1 ? `${terms} = ` : "", make("strong", "", {}, number(now.score)));

    const far = Math.abs(n - m);
    const places = `${far} ${far === 1 ? "place" : "places"}`;
    const where = far ? `the key stands ${places} ${n > m ? "after" : "before"} the query` : "query and key in one place";
    const other = far ? ` ${n > m ? "Before" : "After"} it by as much, the score would be ${number(curve[m - n + positions - 1])}.` : " Both have turned alike, which leaves the plain dot product.";
    const same = " Moved together, both turn by the same angles and the score stays.";
    sentence.textContent = `Positions ${m} and ${n}: ${where}, score ${number(now.score)}.${together ? same : other}`;
    caption.textContent = state.caption ?? "";
    caption.hidden = !state.caption;
  }

  function update() {
    const next = Object.fromEntries(names.map((name) => [name, model.get(name)]));
    // Python sets several names at once; until the last has come, they may not fit.
    if (next.query.length !== next.key.length || Math.max(next.query_position, next.key_position) >= next.positions) return;
    const same = names.every((name) => moved.includes(name) || next[name] === state?.[name]);
    state = next;
    if (!same) build();
    draw();
  }

  return follow(model, names, update, el, figure);
}

export default { render };
