"use strict";
// Every page works without this file. It shows times in the zone of the reader, and follows runs and the log.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Times: UTC as the server writes them, or the zone of this browser, which is named.
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  let zone = localStorage.getItem("zone") === "UTC" ? "UTC" : here;
  const showTimes = (root = document) => {
    const shown = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: zone });
    const day = new Intl.DateTimeFormat("en", { weekday: "short", timeZone: zone });
    for (const time of all("time[datetime]", root)) {
      const at = new Date(time.dateTime), text = `${day.format(at)} ${shown.format(at)}` + (zone === "UTC" ? " UTC" : "");
      if (time.textContent !== text) time.textContent = text;
      time.title = `${time.dateTime} (UTC)`;
    }
  };
  // A time in a form is in UTC for the server, and is written in the zone in which the page shows times.
  const showZones = () => {
    for (const field of all("input[data-utc]")) {
      const at = field.dataset.utc && new Date(`${field.dataset.utc}Z`);
      if (zone === "UTC") field.value = field.dataset.utc;
      else if (at) field.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
      field.labels[0].querySelector(".zone").textContent = zone;
    }
  };
  for (const field of all("input[data-utc]")) {
    const keep = () => { field.dataset.utc = zone === "UTC" || !field.value ? field.value : new Date(field.value).toISOString().slice(0, 19); };
    field.addEventListener("change", keep);
    field.form.addEventListener("submit", () => { keep(); field.value = field.dataset.utc; setTimeout(showZones); });
  }
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
      showZones();
    });
  }

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
  document.addEventListener("htmx:after:swap", () => { showTimes(); window.drawGraphs?.(); });
  showTimes();
  showZones();
})();
