// A link from another site arrives without the session cookie (SameSite=Strict), so the
// server could not see that this person is logged in. Asking from here, it can.
const next = document.querySelector('input[name="next"]').value;
fetch("/account/here")
  .then((answer) => answer.json())
  .then((here) => {
    if (here.logged_in && !sessionStorage.getItem("mss-continued")) {
      // Once only: if that page sends us back here, the form stays.
      sessionStorage.setItem("mss-continued", "1");
      location.replace(next);
    } else if (!here.logged_in) {
      sessionStorage.removeItem("mss-continued");
    }
  })
  .catch(() => {});
