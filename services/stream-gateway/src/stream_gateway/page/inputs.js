// The form: what it says, whether that will do, and who says it.

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const $ = (id) => document.getElementById(id);

// Without a token we are whoever we say we are, which a gateway believes in development only.
const anonymous = localStorage.getItem("userId") ?? crypto.randomUUID();
localStorage.setItem("userId", anonymous);
$("token").value = sessionStorage.getItem("token") ?? "";
$("token").addEventListener("change", () => sessionStorage.setItem("token", token()));

const token = () => $("token").value.trim();

export const headers = () => (token() ? { Authorization: `Bearer ${token()}` } : { "X-User-Id": anonymous });

export function userId() {
  if (!token()) return anonymous;
  try {
    return JSON.parse(atob(token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;
  } catch {
    return anonymous; // the server says what is wrong with the token
  }
}

const areas = () => $("focus").value.split(",").map((area) => area.trim()).filter(Boolean);

const RULES = {
  goals: () => ($("goals").value.trim() ? "" : "Say what you want to reach."),
  focus: () => (areas().length > 10 ? "Ten focus areas are the most." : areas().some((area) => area.length > 200) ? "That is very long for a focus area." : ""),
  hours: () => ($("hours").checkValidity() ? "" : "Between 0 and 24 hours, in halves."),
};

function judge(name) {
  const fault = RULES[name]();
  $(`${name}-fault`).textContent = fault;
  $(`${name}-fault`).hidden = !fault;
  $(name).setAttribute("aria-invalid", String(Boolean(fault)));
  return !fault;
}

// Judged when it is sent, then with every key: a fault that appears on leaving a field would move the button away from
// under the pointer that presses it.
for (const name of Object.keys(RULES)) $(name).addEventListener("input", () => $(name).ariaInvalid === "true" && judge(name));

/** The inputs as the server takes them; null when something will not do, which then has the focus. */
export function read() {
  const wrong = Object.keys(RULES).filter((name) => !judge(name));
  if (wrong.length) {
    $(wrong[0]).focus();
    return null;
  }
  return {
    userId: userId(),
    goals: $("goals").value.trim(),
    focusAreas: areas(),
    availableHours: Object.fromEntries(DAYS.map((day) => [day, Number($("hours").value)])),
    ambition: $("ambition").value,
    weeks: Number($("weeks").value),
  };
}
