// JupyterLab shows image/png outputs without an alt text. This gives each picture the `alt` of
// its metadata, or else the text that is stored beside it, so that a screen reader can say it.
// Written by hand in the form of a federated extension, so that no build step is needed.
(window._JUPYTERLAB = window._JUPYTERLAB || {})["course-alt-text"] = {
  init(scope) {
    this.shared = scope;
  },
  async get() {
    const versions = Object.values(this.shared["@jupyterlab/rendermime"]);
    const { IRenderMimeRegistry, imageRendererFactory } = (await versions[0].get())();
    const factory = {
      ...imageRendererFactory,
      mimeTypes: ["image/png"],
      createRenderer(options) {
        const renderer = imageRendererFactory.createRenderer(options);
        const render = renderer.renderModel.bind(renderer);
        renderer.renderModel = async (model) => {
          await render(model);
          const alt = model.metadata["image/png"]?.alt ?? model.data["text/plain"] ?? "";
          renderer.node.querySelectorAll("img").forEach((image) => (image.alt = String(alt)));
        };
        return renderer;
      },
    };
    const plugin = {
      id: "course-alt-text:plugin",
      autoStart: true,
      requires: [IRenderMimeRegistry],
      activate: (_, registry) => registry.addFactory(factory, 80),
    };
    return () => ({ __esModule: true, default: plugin });
  },
};
