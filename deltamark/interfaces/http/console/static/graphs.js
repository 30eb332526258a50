"use strict";
// Draws the graphs of a page. Without this file, the tables beside them say the same.
(() => {
  const make = (name, attributes = {}, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Graphs: dagre says where each box is; boxes have a fixed size, so texts are never scaled.
  const WIDE = 204, HIGH = 58, LOOP = 36, ROW = 27;
  let drawn = 0;
  // A name in at most two rows, cut where words of it begin.
  const rows = (text) => {
    if (text.length <= ROW) return [text];
    const fits = text.slice(0, ROW), at = Math.max(fits.lastIndexOf(" "), fits.lastIndexOf("_"), fits.search(/[A-Z][^A-Z]*$/) - 1);
    const end = at > ROW / 3 ? at + 1 : ROW, rest = text.slice(end).trim();
    return [text.slice(0, end).trim(), rest.length > ROW ? `${rest.slice(0, ROW - 1)}…` : rest];
  };
  const laidOut = ({ boxes, arrows }, across) => {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: 18, ranksep: 44, marginx: 16, marginy: 16 });
    // An arrow from a box to itself is drawn below it, where the box gets room for it: dagre would draw it across others.
    const loops = new Set(arrows.filter(([tail, head]) => tail === head).map(([tail]) => tail));
    boxes.forEach((box) => graph.setNode(box.name, { width: WIDE, height: HIGH + (loops.has(box.name) ? 2 * LOOP : 0), box }));
    arrows.forEach(([tail, head, label, shown], n) => {
      if (tail !== head) graph.setEdge(tail, head, { label, shown, width: label ? 7 * label.length : 0, height: label ? 16 : 0, labelpos: "c" }, String(n));
    });
    dagre.layout(graph);
    return graph;
  };
  const draw = (place) => {
    if (place.dataset.drawn === place.dataset.graph || !window.dagre) return;
    place.dataset.drawn = place.dataset.graph;
    const data = JSON.parse(place.dataset.graph);
    place.hidden = false;
    // Downwards where the graph is wider than there is room, and narrower so.
    let across = data.across, graph = laidOut(data, across);
    if (across && graph.graph().width > place.clientWidth) {
      const down = laidOut(data, false);
      if (down.graph().width < Math.min(graph.graph().width, 2 * place.clientWidth)) { graph = down; across = false; }
    }
    const { width, height } = graph.graph(), id = `head-${++drawn}`;
    const svg = make("svg", { width: Math.ceil(width), height: Math.ceil(height), "aria-hidden": "true" });
    const marker = make("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto-start-reverse" });
    marker.append(make("path", { d: "M0 0 8 4 0 8z" }));
    svg.append(marker);
    const labels = [], label = (x, y, text) => text && labels.push(make("text", { x, y, "text-anchor": "middle", class: "on" }, text));
    // Arrows leave a box at the side that they lead to, and come in at the other: they cross no box of their own rank.
    const side = ({ x, y }, sign) => (across ? { x: x + (sign * WIDE) / 2, y } : { x, y: y + (sign * HIGH) / 2 });
    const curve = (from, to) => {
      const bend = across ? [(from.x + to.x) / 2, from.y, (from.x + to.x) / 2, to.y] : [from.x, (from.y + to.y) / 2, to.x, (from.y + to.y) / 2];
      return `C${[...bend, to.x, to.y].map((n) => n.toFixed(1)).join(" ")}`;
    };
    graph.edges().forEach((edge) => {
      const { points, label: text, x, y, shown } = graph.edge(edge);
      if (!shown) return;
      const tail = graph.node(edge.v), head = graph.node(edge.w);
      const sign = (across ? head.x >= tail.x : head.y >= tail.y) ? 1 : -1;
      const path = [side(tail, sign), ...points.slice(1, -1), side(head, -sign)];
      const d = `M${path[0].x.toFixed(1)} ${path[0].y.toFixed(1)}` + path.slice(1).map((to, n) => curve(path[n], to)).join("");
      svg.append(make("path", { d, "marker-end": `url(#${id})` }));
      label(x, y + 4, text);
    });
    data.arrows.filter(([tail, head]) => tail === head).forEach(([name, , text]) => {
      const { x, y } = graph.node(name), low = y + HIGH / 2;
      svg.append(make("path", { d: `M${x - 30} ${low}C${x - 30} ${low + 26} ${x + 30} ${low + 26} ${x + 30} ${low + 2}`, "marker-end": `url(#${id})` }));
      label(x, low + 34, text);
    });
    let centre;
    graph.nodes().forEach((name) => {
      const { x, y, box } = graph.node(name);
      const group = make(box.address ? "a" : "g", box.address ? { href: box.address, tabindex: "-1" } : {});
      if (box.kind) group.setAttribute("class", `of-${box.kind}`);
      if (box.kind === "centre") centre = x;
      group.append(make("title", {}, box.title), make("rect", { x: x - WIDE / 2, y: y - HIGH / 2, width: WIDE, height: HIGH, rx: 6 }));
      const lines = [...rows(box.label), ...(box.below ? [null] : [])], first = y + 5 - 8 * (lines.length - 1);
      rows(box.label).forEach((text, n) => group.append(make("text", { x, y: first + 16 * n, "text-anchor": "middle" }, text)));
      const below = box.below.length > 29 ? `${box.below.slice(0, 28)}…` : box.below;
      if (below) group.append(make("text", { x, y: first + 16 * (lines.length - 1), "text-anchor": "middle", class: "sub" }, below));
      svg.append(group);
    });
    svg.append(...labels);
    place.replaceChildren(svg);
    if (centre !== undefined) place.scrollLeft = centre - place.clientWidth / 2;
  };
  window.drawGraphs = () => document.querySelectorAll("[data-graph]").forEach(draw);
  window.drawGraphs();
})();
