// What the pages need beyond links and forms: the dialog, copying, filters that apply at once.
"use strict";

(() => {
  const dialog = document.getElementById("dialog");

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Without https there is no clipboard API; the selection still works.
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    const close = event.target.closest("[data-close]");
    if (close && dialog.contains(close)) {
      event.preventDefault();
      dialog.close();
    }
  });

  // What looks and is called a button works like one: with the space bar too.
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !event.target.matches("a[role=button]")) return;
    event.preventDefault();
    event.target.click();
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("form[data-auto] select, form[data-auto] input[type=date]")) {
      event.target.form.requestSubmit();
    }
  });

  document.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail?.ctx?.target;
    Chart.drawAll(document);
    if (!target || !dialog.contains(target)) return;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    const first = dialog.querySelector("[aria-invalid]")
      ?? dialog.querySelector("input:not([type=hidden]), select, textarea, button");
    first?.focus();
  });

  // A key that is shown once is not lost to a slip of the Escape key.
  dialog.addEventListener("cancel", (event) => {
    if (dialog.querySelector("[data-once]")) event.preventDefault();
  });
  dialog.addEventListener("close", () => document.getElementById("dialog-body").replaceChildren());

  // "Saved." is said once: a reload does not say it again.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  Chart.drawAll(document);
})();
