/* The event types of the range, and which of them are chosen. */

import {colorOf} from "./colors.js";
import {byId, el, foreign, keepPlace} from "./dom.js";
import {count, percent, real, short} from "./format.js";
import {change, state} from "./state.js";

/* Rows at most; the rest is counted. */
const ROWS = 50;

/* Names in the note on types that are not whole. */
const NAMES = 5;

const root = byId("types");
const clear = byId("types-clear");


export function drawTypes(view) {
    clear.hidden = state.types.length === 0;
    if (!view.grouped) {
        root.replaceChildren(el("p", {class: "empty"},
            "There are too many types and buckets to tell the types apart. "
            + "Choose a longer interval or a shorter range."));
        return;
    }
    if (view.types.length === 0) {
        root.replaceChildren(el("p", {class: "empty"},
            "No type has an event in this range."));
        return;
    }
    const all = view.types.reduce((sum, type) => sum + type.count, 0);
    const rows = view.types.slice(0, ROWS);
    const rest = view.types.length - rows.length;
    keepPlace(root, () => root.replaceChildren(
        el("table", {},
            el("thead", {}, el("tr", {},
                el("th", {scope: "col"}, "Type"),
                el("th", {scope: "col", class: "number"}, "Events"),
                el("th", {scope: "col", class: "number wide"}, "Share"),
                el("th", {scope: "col", class: "number"}, "Users"),
                el("th", {scope: "col", class: "number"}, "p50"),
                el("th", {scope: "col", class: "number"}, "p95"),
                el("th", {scope: "col", class: "number"}, "p99"))),
            el("tbody", {}, rows.map((type) => row(type, all)))),
        rest > 0 ? el("p", {class: "note"}, `and ${count(rest)} more`) : "",
        view.partial.length > 0 ? partial(view.partial) : ""));
}


function partial(names) {
    const rest = names.length - NAMES;
    return el("p", {class: "note"}, "Earlier events of these types may be "
        + "counted under (other) instead: ",
    names.slice(0, NAMES).map((name, i) =>
        [i > 0 ? ", " : "", foreign(name, 60)]).flat(),
    rest > 0 ? ` and ${count(rest)} more` : "");
}


function row(type, all) {
    const chosen = state.types.includes(type.name);
    const shown = state.types.length === 0 || chosen;
    return el("tr", {class: shown ? null : "off"},
        el("th", {scope: "row"}, el("label", {color: colorOf(type.name)},
            el("input", {type: "checkbox", checked: shown,
                "data-key": type.name,
                onchange: () => toggle(type.name)}),
            el("i", {class: "swatch"}),
            foreign(type.name, 128))),
        el("td", {class: "number"}, count(type.count)),
        el("td", {class: "number wide"}, percent(type.count, all)),
        el("td", {class: "number"}, short(type.total?.unique_users)),
        el("td", {class: "number"}, real(type.total?.p50)),
        el("td", {class: "number"}, real(type.total?.p95)),
        el("td", {class: "number"}, real(type.total?.p99)));
}


/* From "all", a click means "only this one". */
function toggle(name) {
    const chosen = state.types.includes(name)
        ? state.types.filter((other) => other !== name)
        : [...state.types, name];
    change({types: chosen});
}


clear.addEventListener("click", () => change({types: []}));
