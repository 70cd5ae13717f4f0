"use strict";
// Everything works without this script. It writes times in the reader's zone, reads values off charts, and saves clicks.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const forms = {
    minute: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    second: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
    day: { weekday: "short", day: "numeric", month: "short", year: "numeric" },
    hour: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    date: { day: "numeric", month: "short" },
  };
  const writers = {};
  const write = (form, moment) => (writers[form] ??= new Intl.DateTimeFormat("en-GB", forms[form])).format(moment);

  for (const time of document.querySelectorAll("time[datetime]")) {
    const utc = time.textContent;
    time.textContent = write(time.dataset.form || "minute", new Date(time.dateTime)).replace(",", "");
    time.title = utc;
  }
  const zone = document.querySelector("[data-zone]");
  if (zone) zone.textContent = `Times are in your zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;

  // The marks of the time axis on round hours and days of the reader's zone.
  const HOUR = 3600, DAY = 86400;
  const steps = [HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY];
  const axis = (chart, svg, width) => {
    const since = +chart.dataset.since, until = +chart.dataset.until;
    const most = Math.max(2, Math.floor(width / 70));
    const step = steps.find((each) => (until - since) / each <= most) || 30 * DAY;
    const at = new Date(since * 1000);
    at.setMinutes(0, 0, 0);
    if (step >= DAY) at.setHours(0);
    else at.setHours(Math.floor(at.getHours() / (step / HOUR)) * (step / HOUR));
    svg.replaceChildren();
    while (at.getTime() / 1000 < until) {
      const x = (100 * (at.getTime() / 1000 - since)) / (until - since);
      if (x > 3 && x < 97) {
        const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
        text.setAttribute("x", `${x}%`);
        text.setAttribute("y", "11");
        text.setAttribute("text-anchor", "middle");
        text.textContent = write(step >= DAY || at.getHours() === 0 ? "date" : "hour", at);
        svg.append(text);
      }
      if (step >= DAY) at.setDate(at.getDate() + step / DAY);
      else at.setHours(at.getHours() + step / HOUR);
    }
  };

  // What a chart says at the place that is pointed at.
  const readable = (chart) => {
    const plot = chart.querySelector(".plot");
    if (!plot) return;
    const { since, until, first, width } = chart.dataset;
    const values = chart.dataset.values.split("|"), expected = chart.dataset.expected.split("|");
    let tip, line;
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const part = (event.clientX - box.left) / box.width;
      const bin = Math.floor((+since + part * (until - since) - first) / width);
      if (!(bin in values)) return hide();
      if (!tip) {
        tip = document.createElement("div");
        tip.className = "tip";
        tip.setAttribute("aria-hidden", "true");
        chart.append(tip);
        line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        line.setAttribute("class", "point");
        line.setAttribute("y1", "0");
        line.setAttribute("y2", "100%");
        plot.append(line);
      }
      const start = +first + bin * width;
      const x = (100 * (start + width / 2 - since)) / (until - since);
      line.setAttribute("x1", `${x}%`);
      line.setAttribute("x2", `${x}%`);
      const value = document.createElement("b");
      value.textContent = values[bin];
      tip.replaceChildren(value, ` ${write(width >= DAY ? "day" : "minute", new Date(start * 1000)).replace(",", "")}`);
      if (expected[bin]) tip.append(document.createElement("br"), `usual ${expected[bin]}`);
      tip.style.left = `${Math.min(Math.max((part * box.width) + 12, 0), box.width - tip.offsetWidth)}px`;
      if (part > 0.6) tip.style.left = `${Math.max(part * box.width - tip.offsetWidth - 12, 0)}px`;
    });
    const hide = () => { tip?.remove(); line?.remove(); tip = line = undefined; };
    plot.addEventListener("pointerleave", hide);
  };
  // After the first paint, and all widths before any change: each would lay out the page anew.
  requestAnimationFrame(() => setTimeout(() => {
    const charts = [...document.querySelectorAll(".chart")].map((chart) => [chart, chart.querySelector(".axis")]);
    const drawn = charts.filter(([, svg]) => svg).map(([chart, svg]) => [chart, svg, svg.clientWidth]);
    for (const each of drawn) axis(...each);
    for (const [chart] of drawn) readable(chart);
  }));

  for (const control of document.querySelectorAll("[data-submit]")) {
    control.addEventListener("change", () => control.form.requestSubmit());
  }
  // Empty fields make no addresses that are longer than they need to be.
  for (const form of document.querySelectorAll("form[method=get]")) {
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(input|select|textarea)$/i.test(event.target.tagName)) return;
    const field = document.querySelector('[data-focus-key="/"]');
    if (field) { event.preventDefault(); field.focus(); }
  });
  const waiting = document.querySelector("[data-reload]");
  if (waiting) setTimeout(() => location.reload(), waiting.dataset.reload * 1000);
})();
