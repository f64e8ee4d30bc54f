"use strict";
// The page of a run under way: each event has the whole report as it is, and what the plots draw.
(() => {
  const state = document.getElementById("state");
  const stop = document.getElementById("stop");
  const body = document.getElementById("body");
  // Behind the #, so that it is sent to nobody unasked.
  const token = new URLSearchParams(location.hash.slice(1)).get("stop");
  const open_details = () => [...body.querySelectorAll("details[open] > summary")].map(s => s.textContent);

  const show = now => {
    const opened = open_details();
    // Plots stay, with what is zoomed into; all else is replaced.
    const kept = ["plots", "curve"].map(id => document.getElementById(id));
    body.innerHTML = now.body;
    kept.forEach(node => node && document.getElementById(node.id)?.replaceWith(node));
    body.querySelectorAll("summary").forEach(s => { if (opened.includes(s.textContent)) s.parentNode.open = true; });
    document.title = now.title;
    window.connstorm.update(now.data);
  };

  const source = new EventSource("events");
  let ended = false;
  source.onmessage = event => {
    const now = JSON.parse(event.data);
    if (!now.body) return;
    ended = now.ended;
    state.textContent = ended ? "The run has ended; this is its report." : "live";
    if (ended) stop.hidden = true;
    show(now);
  };
  source.addEventListener("end", () => source.close());
  source.onerror = () => { if (!ended) state.textContent = "no connection to connstorm; what is shown is the last that came"; };

  if (token) {
    stop.hidden = false;
    stop.addEventListener("click", async () => {
      stop.disabled = true;
      try {
        const answer = await fetch("stop", { method: "POST", headers: { "X-Connstorm-Token": token } });
        state.textContent = (await answer.text()).trim();
        stop.disabled = answer.ok;
      } catch {
        state.textContent = "no connection to connstorm";
        stop.disabled = false;
      }
    });
  }
})();
