"use strict";
// Renews the part of a page that changes, as long as somebody looks at it. Without this script a page is read again by hand.
(() => {
  const part = document.querySelector("[data-every]");
  const told = document.querySelector("[data-told]");
  if (!part) return;
  const address = new URL(location.href);
  address.searchParams.set("part", "1");
  address.hash = "";
  let shown = new Date();
  const say = (text) => {
    if (told.textContent !== text) told.textContent = text;
  };
  // What has the focus keeps it: the new element at the same address or of the same name takes its place
  const place = (element) => element && (element.getAttribute("href") || element.id);
  const put = (text) => {
    const held = part.contains(document.activeElement) ? place(document.activeElement) : null;
    const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
    part.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    for (const id of open) if (id && document.getElementById(id)) document.getElementById(id).open = true;
    if (held) [...part.querySelectorAll("a, [id]")].find((one) => place(one) === held)?.focus();
  };
  // What somebody types stays: the part is renewed once it is sent or taken back
  const typing = () =>
    document.activeElement?.matches("[data-every] select") ||
    [...part.querySelectorAll("input:not([type=hidden]), textarea")].some((one) => one.value !== one.defaultValue);
  const renew = async () => {
    if (document.hidden || typing()) return true;
    try {
      const answer = await fetch(address, { cache: "no-store", redirect: "error" });
      if (answer.status === 401) {
        say("You are signed out. Open the page again to sign in.");
        return false;
      }
      if (!answer.ok) throw new Error();
      put(await answer.text());
      shown = new Date();
      say("");
    } catch {
      say(`Not renewed since ${shown.toLocaleTimeString()}: the gateway does not answer.`);
    }
    return true;
  };
  const seconds = Number(part.dataset.every);
  const turn = async () => {
    if (await renew()) setTimeout(turn, seconds * 1000);
  };
  setTimeout(turn, seconds * 1000);
})();
