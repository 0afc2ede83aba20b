// Earlier plans, and what is left of the quota.
import { STATUS_TEXT } from "./words.js";

const $ = (id) => document.getElementById(id);

export async function refresh(client, open) {
  const [quota, plans] = await Promise.allSettled([client.quota(), client.plans({ limit: 8 })]);
  if (quota.status === "fulfilled") showQuota(quota.value);
  if (plans.status === "fulfilled") showPlans(plans.value.plans, open);
}

function showQuota({ limit, remaining }) {
  $("quota").hidden = false;
  $("quota").textContent = limit === null ? "Unlimited plans" : `${remaining} of ${limit} plans left`;
}

function showPlans(plans, open) {
  $("earlier-none").hidden = plans.length > 0;
  const current = new URLSearchParams(location.search).get("plan");
  $("earlier").replaceChildren(...plans.map((plan) => entry(plan, plan.planId === current, open)));
}

function entry(plan, current, open) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `?plan=${plan.planId}`;
  if (current) link.setAttribute("aria-current", "page");
  const when = document.createElement("span");
  when.textContent = new Date(plan.createdAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const status = document.createElement("span");
  status.className = `badge ${plan.status}`;
  status.textContent = STATUS_TEXT[plan.status] ?? plan.status;
  link.append(when, status);
  link.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    open(plan.planId);
  });
  item.append(link);
  return item;
}
