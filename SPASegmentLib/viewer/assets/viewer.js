// Keys, uploads, downloads and the slice slider. Everything else is the page's template.
(() => {
  const here = window;
  const state = () => here.trame && here.trame.state;
  const call = (name, ...args) => here.trame.trigger(name, args);
  const typing = (target) =>
    target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT" ||
    (target.tagName === "INPUT" && !["range", "checkbox", "button"].includes(target.type));

  const MOVES = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

  function actionOf(event) {
    const code = event.code.replace(/^Numpad(\d)$/, "Digit$1").replace("NumpadEnter", "Enter");
    const ctrl = event.ctrlKey || event.metaKey;
    if (ctrl && MOVES[code]) return ["move_cursor", ...MOVES[code], event.shiftKey];
    if (event.altKey) return null;
    if (code === "Space" && !ctrl && state().get("cursor")) return ["seed_at_cursor", event.shiftKey];
    if (!ctrl && (code === "PageUp" || code === "PageDown")) return ["scroll", code === "PageUp" ? 1 : -1];
    if (code === "KeyZ" && !ctrl) return ["zoom"];
    if (code === "KeyX" && !ctrl) return ["exclude", !state().get("excluding")];
    if (code === "Escape" && state().get("excluding")) return ["exclude", false];
    if (code === "KeyO" && !ctrl) return ["draw", "box"];
    if (code === "KeyD" && !ctrl) return ["draw", "scribble"];
    if (code === "Escape" && state().get("drawing")) return ["draw", ""];
    if (event.key === "?") return ["show_help"];
    const found = (state().get("keys") || []).find(
      (key) => key.code === code && key.shift === event.shiftKey && key.ctrl === ctrl);
    return found ? ["act", found.action] : null;
  }

  // What stands over the page comes first: the help, then a message.
  function overlaid(event) {
    const help = document.querySelector(".help");
    const dismisses = event.key === "Escape" && state().get("problem") && !state().get("screen").busy;
    if (!help && !dismisses) return false;
    if (!help) call("dismiss");
    else if (help.matches(".question")) {
      if (event.key === "Escape") call("choose_part", -1);
      else if (event.key !== "?") return event.key !== "Tab";
    }
    else if (event.key === "Escape" || event.key === "?") call("show_help");
    else if (event.key === "Tab") help.querySelector("button").focus();
    else return true;
    event.preventDefault();
    return true;
  }

  // A study counts keys and presses of the mouse, but for those on its own card.
  const PLAIN = ["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock"];
  function counted(event, kind) {
    const study = state() && state().get("study");
    if (!study || study.phase !== "running" || event.repeat || PLAIN.includes(event.key)) return;
    if (!(event.target.closest && event.target.closest(".study"))) call("study_input", kind);
  }
  here.addEventListener("keydown", (event) => counted(event, "keys"), true);
  here.addEventListener("pointerdown", (event) => counted(event, "clicks"), true);

  let byPointer = false;
  here.addEventListener("pointerdown", () => { byPointer = true; }, true);

  here.addEventListener("keydown", (event) => {
    byPointer = false;
    if (!state()) return;
    if (typing(event.target)) {
      const leaves = event.key === "Escape" || (event.key === "Enter" && !event.target.form);
      if (leaves && event.target.tagName === "INPUT") event.target.blur();
      return;
    }
    if (overlaid(event)) return;
    const slides = MOVES[event.code] || event.code === "Home" || event.code === "End";
    if (event.target.type === "range" && slides && !event.ctrlKey) return;
    if ((event.code === "Enter" || event.code === "Space") && event.target.closest("button, .button, label")) return;
    const action = actionOf(event);
    if (!action || (event.repeat && action[0] === "act" && !/_slice/.test(action[1]))) return;
    event.preventDefault();
    event.stopPropagation();
    call(...action);
  }, true);

  // After the mouse the keys are the viewer's again: Enter approves and does not press the last button anew.
  for (const kind of ["click", "change"])
    here.addEventListener(kind, (event) => {
      const used = event.target.closest && event.target.closest("button, select, input");
      if (byPointer && used && !(kind === "click" && used.matches("select, input"))) used.blur();
    });

  // A dialog that appears takes the focus, and gives it back.
  let before = null;
  new MutationObserver((changes) => {
    if (!changes.some((change) => change.addedNodes.length || change.removedNodes.length)) return;
    const dialog = [...document.querySelectorAll(".help, .banner")].pop();
    if (dialog && !dialog.dataset.seen) {
      dialog.dataset.seen = "yes";
      before = document.activeElement;
      dialog.querySelector("button").focus();
    } else if (!dialog && before) {
      if (before.isConnected && document.activeElement === document.body) before.focus();
      before = null;
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  // The views are used by the viewer's own keys and are no stations of Tab.
  new MutationObserver(() => {
    for (const area of document.querySelectorAll(".views div[tabindex='0']")) area.tabIndex = -1;
  }).observe(document.documentElement, { attributeFilter: ["tabindex"], subtree: true });

  // The slider: one message at a time, always the newest place.
  let sending = false, wanted = null;
  async function slide(value) {
    wanted = value;
    if (sending) return;
    sending = true;
    while (wanted !== null) { const next = wanted; wanted = null; await call("slide", next); }
    sending = false;
  }

  function put(url, file, share) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", url);
      request.upload.onprogress = (event) => share(event.loaded);
      request.onload = () => (request.status === 200 ? resolve() : reject(new Error(problemIn(request.responseText))));
      request.onerror = () => reject(new Error("The upload broke off; try again."));
      request.send(file);
    });
  }
  const problemIn = (text) => { try { return JSON.parse(text).problem; } catch { return "The upload was refused; try again."; } };

  async function upload(input) {
    const files = [...input.files];
    input.value = "";
    await sendAll(files);
  }

  async function sendAll(files) {
    if (!files.length) return;
    const id = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
    const title = (files[0].webkitRelativePath || "").split("/")[0] || `${files.length} files`;
    // Files of one folder stay together under their own names: headers and lists name their data by them.
    const folders = new Map(), names = new Set();
    let before = 0, told = 0;
    try {
      for (const [number, file] of files.entries()) {
        let place = (file.place || file.webkitRelativePath || "").split("/").slice(0, -1).join("/");
        if (names.has(`${place}/${file.name}`)) place = `${place}/${number}`; // dropped from two folders
        names.add(`${place}/${file.name}`);
        if (!folders.has(place)) folders.set(place, folders.size);
        await put(`api/upload/${id}/${folders.get(place)}/${encodeURIComponent(file.name)}`, file, (loaded) => {
          if (Date.now() - told < 200) return;
          told = Date.now();
          call("uploading", files.length > 1 ? `${files.length} files` : file.name, (before + loaded) / total);
        });
        before += file.size;
      }
      const answer = await fetch(`api/upload/${id}?title=${encodeURIComponent(title)}`, { method: "POST" });
      if (!answer.ok) throw new Error(problemIn(await answer.text()));
      const { note } = await answer.json();
      if (note) call("upload_failed", note);
    } catch (error) {
      call("upload_failed", error.message);
    }
  }

  // Files and folders dropped on the page.
  async function filesIn(entry) {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      file.place = entry.fullPath;
      return [file];
    }
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return found;
      for (const each of some) found.push(...(await filesIn(each)));
    }
  }
  const dropping = (is) => document.body.classList.toggle("dropping", is);
  here.addEventListener("dragover", (event) => { event.preventDefault(); dropping(true); });
  here.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dropping(false); });
  here.addEventListener("drop", async (event) => {
    event.preventDefault();
    dropping(false);
    const files = [...event.dataTransfer.files];
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    try {
      await sendAll(entries.length ? (await Promise.all(entries.map(filesIn))).flat() : files);
    } catch {
      call("upload_failed", "What was dropped could not be read; choose it with Open file or Folder.");
    }
  });

  const short = (value) => (value >= 10 ? value.toFixed(0) : String(Number(value.toPrecision(2))));

  async function download(kind) {
    const answer = await fetch(`api/segmentation.${kind}`);
    if (!answer.ok) { call("upload_failed", problemIn(await answer.text())); return; }
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") || "");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name ? name[1] : `segmentation.${kind}`;
    document.body.appendChild(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }

  // When the server is gone, wait for it and load the page anew.
  setInterval(async () => {
    if (!document.querySelector(".spa-stopped")) return;
    try { if ((await fetch("api/alive", { cache: "no-store" })).ok) location.reload(); } catch { /* still away */ }
  }, 1500);

  here.spasegment = { upload, download, slide, short };
})();
