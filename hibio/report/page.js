const fade = document.getElementById("fade");
if (fade) {
  fade.parentElement.hidden = false;
  fade.addEventListener("input", () => {
    document.documentElement.style.setProperty("--spots", fade.value / 100);
  });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.table")) details.open = true;
});
