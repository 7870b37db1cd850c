"use strict";
(() => {
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const expand = document.getElementById("expand");
  const nothing = document.getElementById("nothing");
  const traces = [...document.querySelectorAll(".trace")];
  const rows = [...document.querySelectorAll("tr.span")].map((row) => {
    const open = row.querySelector(".open");
    const detail = document.getElementById(open.getAttribute("aria-controls"));
    return { row, open, detail, text: (row.textContent + " " + detail.textContent).toLowerCase() };
  });
  const byButton = new Map(rows.map((one) => [one.open, one]));

  function show(one, yes) {
    one.open.setAttribute("aria-expanded", String(yes));
    one.detail.hidden = !yes || one.row.hidden;
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const one of rows) {
      one.row.hidden = !words.every((word) => one.text.includes(word));
      one.detail.hidden = one.row.hidden || one.open.getAttribute("aria-expanded") !== "true";
      count += one.row.hidden ? 0 : 1;
    }
    for (const trace of traces) {
      trace.hidden = !trace.querySelector("tr.span:not([hidden])");
    }
    found.textContent = words.length ? count + " of " + rows.length + " spans" : "";
    nothing.hidden = count > 0;
  }

  // A cell over more columns than are shown would make room for those that aren't.
  function fit() {
    for (const trace of traces) {
      const shown = [...trace.querySelectorAll(":scope > table > thead th")]
        .filter((one) => getComputedStyle(one).display !== "none").length;
      for (const cell of trace.querySelectorAll(".detail > td")) { cell.colSpan = shown; }
      for (const cell of trace.querySelectorAll(".values .group")) {
        cell.colSpan = 1 + document.querySelectorAll('.toggle[aria-pressed="true"]').length;
      }
    }
  }

  function toggleColumn(button) {
    if (!button) { return; }
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    document.body.classList.toggle("off-" + button.dataset.column, !shown);
    fit();
  }

  function move(by) {
    const visible = rows.filter((one) => !one.row.hidden);
    const at = visible.findIndex((one) => one.open === document.activeElement);
    const next = visible[at < 0 ? (by > 0 ? 0 : visible.length - 1) : at + by];
    if (next) {
      next.open.focus();
      next.row.scrollIntoView({ block: "nearest" });
    }
  }

  document.addEventListener("click", (event) => {
    const open = event.target.closest(".open");
    const column = event.target.closest(".toggle");
    if (open) {
      show(byButton.get(open), open.getAttribute("aria-expanded") !== "true");
    } else if (column) {
      toggleColumn(column);
    } else {
      const row = event.target.closest("tr.span");
      if (row && !String(window.getSelection())) { row.querySelector(".open").click(); }
    }
  });

  expand.addEventListener("click", () => {
    const yes = expand.getAttribute("aria-pressed") !== "true";
    expand.setAttribute("aria-pressed", String(yes));
    expand.textContent = yes ? "Collapse all" : "Expand all";
    rows.forEach((one) => show(one, yes));
  });

  search.addEventListener("input", filter);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) { return; }
    if (event.target === search) {
      if (event.key === "Escape") {
        search.value = "";
        filter();
        search.blur();
      } else if (event.key === "Enter" || event.key === "ArrowDown") {
        event.preventDefault();
        search.blur();
        move(1);
      }
      return;
    }
    const keys = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    if (event.key === "/") {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key in keys) {
      event.preventDefault();
      move(keys[event.key]);
    } else if (event.key >= "1" && event.key <= "9") {
      toggleColumn(document.querySelectorAll(".toggle")[Number(event.key) - 1]);
    } else if (event.key === "Escape") {
      rows.forEach((one) => show(one, false));
    }
  });

  window.matchMedia("(max-width: 900px)").addEventListener("change", fit);
  filter();
  fit();
})();
