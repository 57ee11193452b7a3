// A link to a heading of a notebook that is not open yet opens it at its top: JupyterLab looks for
// the heading before the page is there. This asks once more when it is.
(window._JUPYTERLAB = window._JUPYTERLAB || {})["course-anchors"] = {
  init(scope) {
    this.shared = scope;
  },
  async get() {
    const versions = Object.values(this.shared["@jupyterlab/notebook"]);
    const { INotebookTracker } = (await versions[0].get())();
    const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
    let clicked = { path: "", heading: "" };
    const remember = (event) => {
      const { pathname = "", hash = "" } = event.target.closest?.("a[href*='/files/']") ?? {};
      clicked = { path: decodeURIComponent(pathname.split("/files/")[1] ?? ""), heading: hash };
    };
    const follow = async (_, panel) => {
      const { path, heading } = clicked;
      if (!heading || panel.context.path !== path) return;
      await panel.context.ready;
      await panel.revealed;
      const id = CSS.escape(decodeURIComponent(heading.slice(1)));
      const there = () => panel.node.querySelector(`[data-jupyter-id="${id}"]`);
      for (let tries = 0; tries < 40 && !there(); tries++) await wait(250);
      panel.content.setFragment(heading);
    };
    const plugin = {
      id: "course-anchors:plugin",
      autoStart: true,
      requires: [INotebookTracker],
      activate: (_, tracker) => {
        document.addEventListener("click", remember, true);
        tracker.widgetAdded.connect(follow);
      },
    };
    return () => ({ __esModule: true, default: plugin });
  },
};
