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
    if (event.key === "?") return ["show_help"];
    const found = (state().get("keys") || []).find(
      (key) => key.code === code && key.shift === event.shiftKey && key.ctrl === ctrl);
    return found ? ["act", found.action] : null;
  }

  here.addEventListener("keydown", (event) => {
    if (!state() || typing(event.target)) return;
    if (event.target.type === "range" && MOVES[event.code] && !event.ctrlKey) return;
    if ((event.code === "Enter" || event.code === "Space") && event.target.closest("button, .button, label")) return;
    const action = actionOf(event);
    if (!action || (event.repeat && action[0] === "act" && !/_slice/.test(action[1]))) return;
    event.preventDefault();
    event.stopPropagation();
    call(...action);
  }, true);

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
    if (!files.length) return;
    const id = [...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const total = files.reduce((sum, file) => sum + file.size, 0) || 1;
    let before = 0, told = 0;
    try {
      for (const file of files) {
        await put(`api/upload/${id}/${encodeURIComponent(file.name)}`, file, (loaded) => {
          if (Date.now() - told < 200) return;
          told = Date.now();
          call("uploading", files.length > 1 ? `${files.length} files` : file.name, (before + loaded) / total);
        });
        before += file.size;
      }
      const answer = await fetch(`api/upload/${id}`, { method: "POST" });
      if (!answer.ok) throw new Error(problemIn(await answer.text()));
    } catch (error) {
      call("upload_failed", error.message);
    }
  }

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

  here.spasegment = { upload, download, slide };
})();
