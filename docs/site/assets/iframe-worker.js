"use strict";
// Browsers start no worker for a page that is opened as a file. There the search, which wants one,
// runs in a hidden frame; pages that come from a server are left as they are.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.started = new Promise((done) => {
        const start = () => {
          document.body.append(this.frame);
          const inner = this.frame.contentWindow;
          inner.postMessage = (data) => {
            const event = new MessageEvent("message", { data });
            this.dispatchEvent(event);
            if (this.onmessage) this.onmessage(event);
          };
          const script = inner.document.createElement("script");
          script.src = address;
          script.onload = () => done(inner);
          inner.document.body.append(script);
        };
        if (document.body) start();
        else document.addEventListener("DOMContentLoaded", start);
      });
    }

    postMessage(data) {
      this.started.then((inner) => inner.dispatchEvent(new inner.MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
