// The login page's passkey button: in without user name and password.
import { passkeys, post } from "./passkey.js";

const area = document.getElementById("passkey-login");
const button = area.querySelector("button");
const status = area.querySelector("[role=alert]");
if (passkeys.supported) area.hidden = false;
button.addEventListener("click", async () => {
  status.hidden = true;
  button.disabled = true;
  try {
    const next = document.querySelector('input[name="next"]').value;
    const begun = await post("/mss-login/api/passkeys/login-options", { next });
    const passkey = await passkeys.get(begun.options);
    const done = await post("/mss-login/api/passkeys/login", {
      mfa_temp_token: begun.mfa_temp_token,
      passkey,
    });
    location.replace(done.redirect_url);
  } catch (error) {
    status.textContent = passkeys.reason(error);
    status.hidden = false;
    button.disabled = false;
  }
});
