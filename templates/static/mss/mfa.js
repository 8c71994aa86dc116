// The page that asks for the second factor: the passkey button. The login that waits is named
// by a cookie that no script can read.
import { passkeys, post } from "./passkey.js";

const button = document.getElementById("passkey");
const status = document.getElementById("status");
if (passkeys.supported) button.hidden = false;
button.addEventListener("click", async () => {
  status.hidden = true;
  button.disabled = true;
  try {
    const begun = await post("/mfa/passkey", {});
    const passkey = await passkeys.get(begun.options);
    await post("/mfa/passkey", { passkey });
    location.replace(button.dataset.next);
  } catch (error) {
    status.textContent = passkeys.reason(error);
    status.hidden = false;
    button.disabled = false;
  }
});
