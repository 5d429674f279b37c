// What a page that is served has besides: while somebody looks at it, it asks every two seconds for the page as it is now,
// and takes over what is new there. Folds, choices, orders and drawings are the reader's, and stay.
"use strict";
(() => {
  const everyMs = 2000;
  const state = document.getElementById("state");
  const asOf = document.getElementById("as-of");
  const parts = ["header", "main", "#data"];

  // Each node of the page with its twin, the node as it was served last: only what is another in the next one is new.
  const twins = new WeakMap();
  function pair(node, twin) {
    twins.set(node, twin);
    node.childNodes.forEach((child, place) => pair(child, twin.childNodes[place]));
  }

  function renew(node, next) {
    const twin = twins.get(node);
    if (twin.isEqualNode(next)) return;
    twins.set(node, next);
    if (node.nodeType !== Node.ELEMENT_NODE) {
      node.nodeValue = next.nodeValue;
      return;
    }
    for (const { name } of [...twin.attributes, ...next.attributes]) {
      const value = next.getAttribute(name);
      if (value === twin.getAttribute(name)) continue;
      if (value === null) node.removeAttribute(name);
      else node.setAttribute(name, value);
    }
    renewChildren(node, next);
  }

  const kind = (twin) => `${twin.nodeName} ${twin.dataset?.key ?? ""}`;
  function renewChildren(node, next) {
    const old = [...node.childNodes].filter((child) => twins.has(child));
    const children = [...next.childNodes].map((wanted) => {
      const place = old.findIndex((child) => kind(twins.get(child)) === kind(wanted));
      if (place < 0) return added(wanted);
      const [child] = old.splice(place, 1);
      renew(child, wanted);
      return child;
    });
    old.forEach((child) => child.remove());
    children.forEach((child, place) => {
      if (node.childNodes[place] !== child) node.insertBefore(child, node.childNodes[place] ?? null);
    });
  }
  function added(twin) {
    const node = document.importNode(twin, true);
    pair(node, twin);
    return node;
  }

  function bringUpToDate(page) {
    const focused = document.activeElement;
    for (const part of parts) renew(document.querySelector(part), page.querySelector(part));
    document.dispatchEvent(new Event("renewed"));
    if (focused !== document.activeElement) focused.focus({ preventScroll: true });
    asOf.dateTime = page.getElementById("as-of").dateTime;
  }

  // A screen reader reads the state aloud where it becomes another, and never the time.
  function say(text) {
    if (state.textContent !== text) state.textContent = text;
    asOf.textContent = `· updated ${new Date(asOf.dateTime).toLocaleTimeString()}`;
  }
  const hasEnded = () => document.querySelector("header .ended.open") === null;
  const sayHowItIs = () => say(hasEnded() ? "The run has ended" : "Follows the run");

  let isAsking = false;
  let known = "";
  async function ask() {
    if (isAsking || document.hidden || hasEnded()) return;
    isAsking = true;
    try {
      const answer = await fetch("/news", { cache: "no-store" });
      const text = await answer.text();
      if (!answer.ok) {
        say(text);
        return;
      }
      if (text !== known) bringUpToDate(new DOMParser().parseFromString(text, "text/html"));
      known = text;
      sayHowItIs();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      say("The server is gone");
    } finally {
      isAsking = false;
    }
  }

  for (const part of parts) pair(document.querySelector(part), document.querySelector(part).cloneNode(true));
  sayHowItIs();
  setInterval(ask, everyMs);
  document.addEventListener("visibilitychange", ask);
})();
