"use strict";
// Every page works without this file. It shows times in the zone of the reader, draws graphs, and follows runs and the log.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (name, attributes = {}, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Times: UTC as the server writes them, or the zone of this browser, which is named.
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  let zone = localStorage.getItem("zone") === "UTC" ? "UTC" : here;
  const showTimes = (root = document) => {
    const shown = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: zone });
    for (const time of all("time[datetime]", root)) {
      const at = new Date(time.dateTime), text = shown.format(at) + (zone === "UTC" ? " UTC" : "");
      if (time.textContent !== text) time.textContent = text;
      time.title = `${time.dateTime} (UTC)`;
    }
  };
  const button = document.getElementById("zone");
  if (button) {
    const name = () => { button.textContent = zone; button.title = `Show times in ${zone === "UTC" ? here : "UTC"}`; };
    button.hidden = false;
    document.getElementById("zone-utc").hidden = true;
    name();
    button.addEventListener("click", () => {
      zone = zone === "UTC" ? here : "UTC";
      localStorage.setItem("zone", zone);
      name();
      showTimes();
    });
  }

  // Graphs: dagre says where each box is; boxes have a fixed size, so texts are never scaled.
  const WIDE = 236, HIGH = 44, LOOP = 36;
  let drawn = 0;
  const draw = (place) => {
    if (place.dataset.drawn === place.dataset.graph || !window.dagre) return;
    place.dataset.drawn = place.dataset.graph;
    const { boxes, arrows, across } = JSON.parse(place.dataset.graph);
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: 18, ranksep: 60, marginx: 16, marginy: 16 });
    // An arrow from a box to itself is drawn below it, where the box gets room for it: dagre would draw it across others.
    const loops = new Map(arrows.filter(([tail, head]) => tail === head).map(([tail, , label]) => [tail, label]));
    boxes.forEach((box) => graph.setNode(box.name, { width: WIDE, height: HIGH + (loops.has(box.name) ? 2 * LOOP : 0), box }));
    arrows.forEach(([tail, head, label, shown], n) => {
      if (tail !== head) graph.setEdge(tail, head, { label, shown, width: label ? 7 * label.length : 0, height: label ? 16 : 0, labelpos: "c" }, String(n));
    });
    dagre.layout(graph);
    const { width, height } = graph.graph(), id = `head-${++drawn}`;
    const svg = make("svg", { width: Math.ceil(width), height: Math.ceil(height), "aria-hidden": "true" });
    const marker = make("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto-start-reverse" });
    marker.append(make("path", { d: "M0 0 8 4 0 8z" }));
    svg.append(marker);
    const label = (x, y, text) => text && svg.append(make("text", { x, y, "text-anchor": "middle", class: "sub" }, text));
    graph.edges().forEach((edge) => {
      const { points, label: text, x, y, shown } = graph.edge(edge);
      if (!shown) return;
      svg.append(make("path", { d: `M${points.map((p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("L")}`, "marker-end": `url(#${id})` }));
      label(x, y - 4, text);
    });
    loops.forEach((text, name) => {
      const { x, y } = graph.node(name), low = y + HIGH / 2;
      svg.append(make("path", { d: `M${x - 30} ${low}C${x - 30} ${low + 26} ${x + 30} ${low + 26} ${x + 30} ${low + 2}`, "marker-end": `url(#${id})` }));
      label(x, low + 34, text);
    });
    graph.nodes().forEach((name) => {
      const { x, y, box } = graph.node(name);
      const group = make(box.address ? "a" : "g", box.address ? { href: box.address, tabindex: "-1" } : {});
      if (box.kind) group.setAttribute("class", `of-${box.kind}`);
      group.append(make("title", {}, box.title), make("rect", { x: x - WIDE / 2, y: y - HIGH / 2, width: WIDE, height: HIGH, rx: 6 }));
      const cut = (text) => (text.length > 29 ? `${text.slice(0, 28)}…` : text);
      group.append(make("text", { x, y: box.below ? y - 3 : y + 5, "text-anchor": "middle" }, cut(box.label)));
      if (box.below) group.append(make("text", { x, y: y + 14, "text-anchor": "middle", class: "sub" }, cut(box.below)));
      svg.append(group);
    });
    place.replaceChildren(svg);
    place.hidden = false;
  };
  const drawAll = (root = document) => all("[data-graph]", root).forEach(draw);

  // The slider of a moment says its position, and jumps from change to change with the arrow keys.
  for (const slider of all("input[data-stops]")) {
    const stops = slider.dataset.stops.split(" ").filter(Boolean).map(Number).sort((a, b) => a - b);
    const says = document.getElementById(slider.dataset.says);
    const say = () => { says.textContent = Number(slider.value).toLocaleString("en"); };
    slider.addEventListener("input", say);
    slider.addEventListener("keydown", (event) => {
      const at = Number(slider.value);
      const to = event.key === "ArrowLeft" ? stops.filter((p) => p < at).pop() : event.key === "ArrowRight" ? stops.find((p) => p > at) : undefined;
      if (to === undefined) return;
      event.preventDefault();
      slider.value = to;
      say();
    });
  }

  // Keys: / finds, g and a letter goes to a page. A letter alone is no shortcut where one writes.
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "/") { event.preventDefault(); document.querySelector(".top input")?.focus(); }
    else if (event.key === "g") went = event.timeStamp;
    else if (event.timeStamp - went < 1500) document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
  });

  // What htmx puts into the page is shown as the rest is.
  document.addEventListener("htmx:after:swap", () => { showTimes(); drawAll(); });
  showTimes();
  drawAll();
})();
