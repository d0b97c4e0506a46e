// A picture from the camera, in a dialog of its own.

import { ApiError } from "./api.js";
import { el, icon } from "./dom.js";

export async function takePicture(root, take, refuse) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1280 } });
  } catch (error) {
    const denied = error?.name === "NotAllowedError";
    refuse(new ApiError("Camera", denied ? "The browser was told not to use it." : "No camera was found."));
    return;
  }
  const video = el("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream });
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  };
  const shoot = () => {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && take(new File([blob], "camera picture", { type: blob.type })), "image/jpeg", 0.92);
    dialog.close();
  };
  const dialog = el(
    "dialog",
    { class: "lk-dialog", "aria-label": "Camera", onclose: close },
    video,
    el(
      "div",
      { class: "lk-dialog-row" },
      el("button", { type: "button", class: "lk-button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { type: "button", class: "lk-button is-primary", onclick: shoot }, icon("camera"), "Take the picture"),
    ),
  );
  root.append(dialog);
  dialog.showModal();
}
