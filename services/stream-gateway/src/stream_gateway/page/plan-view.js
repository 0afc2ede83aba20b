// Draws a plan as it grows. Text is text, never markup; what has not changed is not touched, so that a reader's place,
// selection and focus stay.

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

function element(name, className, parent) {
  const made = document.createElement(name);
  if (className) made.className = className;
  parent?.append(made);
  return made;
}

function say(node, text) {
  const value = text == null ? "" : String(text);
  if (node.textContent !== value) node.textContent = value;
  node.hidden = value === "";
}

/** As many children as items: made, filled or taken away at the end. */
function list(parent, items, make, fill) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, index) => fill(parent.children[index] ?? parent.appendChild(make()), item, index));
}

function makeWeek() {
  const card = element("section", "week");
  const head = element("header", "week-head", card);
  element("h3", "", head);
  element("p", "focus", head);
  element("ul", "goals", card);
  element("div", "days", card);
  return card;
}

function fillWeek(card, week, index) {
  const [head, goals, days] = card.children;
  say(head.children[0], `Week ${week?.week ?? index + 1}`);
  say(head.children[1], week?.focus);
  list(goals, week?.goals ?? [], () => element("li"), (node, goal) => say(node, goal));
  const known = DAYS.filter((day) => Array.isArray(week?.daily_tasks?.[day]));
  list(days, known, makeDay, (node, day) => fillDay(node, day, week.daily_tasks[day]));
}

function makeDay() {
  const day = element("section", "day");
  element("h4", "", day);
  element("p", "free", day).textContent = "Free";
  element("ul", "tasks", day);
  return day;
}

function fillDay(node, day, tasks) {
  const [title, free, held] = node.children;
  say(title, day[0].toUpperCase() + day.slice(1));
  free.hidden = tasks.length > 0;
  list(held, tasks, makeTask, fillTask);
}

function makeTask() {
  const task = element("li", "task");
  element("span", "time", task);
  element("span", "what", task);
  element("span", "area", task);
  return task;
}

function fillTask(node, task) {
  const [time, what, area] = node.children;
  say(time, [task?.start_time, task?.end_time].filter(Boolean).join("–"));
  say(what, task?.description);
  say(area, task?.focus_area);
}

export class PlanView {
  #summary = document.getElementById("summary");
  #weeks = document.getElementById("weeks-written");
  #empty = document.getElementById("empty");

  draw(plan, busy, untouched) {
    say(this.#summary, plan?.monthly_summary);
    const weeks = Array.isArray(plan?.weekly_breakdown) ? plan.weekly_breakdown : [];
    list(this.#weeks, weeks, makeWeek, fillWeek);
    this.#empty.hidden = !untouched;
    document.getElementById("plan").setAttribute("aria-busy", String(busy));
  }
}
