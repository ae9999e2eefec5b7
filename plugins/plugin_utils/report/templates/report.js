// The page says everything without this. With it, nodes are found by a part of their name, and all parts open at once.
(() => {
  "use strict";
  const of = (id) => document.getElementById(id);
  const shown = 5;
  const groups = [...document.querySelectorAll(".matrix tr.has-more")].map((head) => {
    const more = head.nextElementSibling;
    const text = (more.querySelector(".names") || head.querySelector(".name")).textContent;
    const matches = head.querySelector("th").appendChild(document.createElement("span"));
    matches.className = "matches";
    return { head, more, matches, names: text.split("\n") };
  });
  const total = groups.reduce((sum, group) => sum + group.names.length, 0);

  const find = () => {
    const wanted = of("wanted").value.trim().toLowerCase();
    let nodes = 0;
    let rows = 0;
    for (const group of groups) {
      const found = wanted ? group.names.filter((name) => name.toLowerCase().includes(wanted)) : [];
      group.head.hidden = group.more.hidden = Boolean(wanted) && !found.length;
      const rest = found.length > shown ? ` and ${found.length - shown} more` : "";
      group.matches.textContent = found.slice(0, shown).join(", ") + rest;
      nodes += found.length;
      rows += found.length ? 1 : 0;
    }
    of("found").textContent = wanted ? `${nodes} of ${total} nodes, in ${rows} of ${groups.length} groups` : "";
  };
  const openAll = (open) => {
    for (const part of document.querySelectorAll("main details")) part.open = open;
  };

  of("wanted").addEventListener("input", find);
  of("open-all").addEventListener("click", () => openAll(true));
  of("close-all").addEventListener("click", () => openAll(false));
  of("tools").hidden = false;
})();
