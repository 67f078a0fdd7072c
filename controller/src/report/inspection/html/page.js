(() => {
  "use strict";
  const root = document.documentElement;
  const all = (what, within = document) => Array.from(within.querySelectorAll(what));
  const store = { get: () => { try { return localStorage.getItem("kfleet-lang"); } catch { return null; } },
    set: (lang) => { try { localStorage.setItem("kfleet-lang", lang); } catch { /* Pages from a file may not keep anything. */ } } };
  const speak = (lang) => {
    root.dataset.lang = lang;
    root.lang = lang === "zh" ? "zh-Hans" : "en";
    document.title = lang === "zh" ? root.dataset.titleZh : root.dataset.titleEn;
    for (const button of all("[data-set-lang]")) button.setAttribute("aria-pressed", String(button.dataset.setLang === lang));
  };
  for (const button of all("[data-set-lang]"))
    button.addEventListener("click", () => { speak(button.dataset.setLang); store.set(button.dataset.setLang); });
  const wanted = new URLSearchParams(location.search).get("lang") || store.get();
  speak(wanted === "en" || wanted === "zh" ? wanted : root.dataset.lang);
  for (const tool of all(".switch, .tools")) tool.hidden = false;

  const groups = all("[data-group]");
  const setOpen = (open) => { for (const one of all("[data-group], [data-group] details")) one.open = open; };
  const filter = document.getElementById("filter");
  const matches = document.getElementById("matches");
  let before = null;
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    root.classList.toggle("filtered", words.length > 0);
    if (words.length > 0 && before === null) before = all("[data-group], [data-group] details").map((one) => [one, one.open]);
    let count = 0;
    for (const group of groups) {
      const common = group.querySelector(":scope > summary").textContent.toLowerCase();
      let here = 0;
      for (const one of all("[data-find]", group)) {
        const text = common + " " + one.textContent.toLowerCase();
        const fits = words.every((word) => text.includes(word));
        one.classList.toggle("out", !fits);
        if (fits) here += 1;
      }
      for (const rest of all(".rest", group)) rest.classList.toggle("out", !rest.querySelector("[data-find]:not(.out)"));
      group.classList.toggle("out", here === 0);
      if (words.length > 0 && here > 0) group.open = true;
      count += here;
    }
    if (words.length === 0 && before !== null) { for (const [one, open] of before) one.open = open; before = null; }
    matches.querySelector("b").textContent = String(count);
  };
  if (filter) {
    let timer = 0;
    filter.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
    document.getElementById("open-all").addEventListener("click", () => setOpen(true));
    document.getElementById("close-all").addEventListener("click", () => setOpen(false));
  }

  // Paper can not be opened: everything is shown on it, and put back afterwards. The style sheet does the same for
  // browsers that run no scripts.
  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:not([open])"); for (const one of closed) one.open = true; });
  addEventListener("afterprint", () => { for (const one of closed) one.open = false; closed = []; });

  // A link into the page opens what it leads to.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
