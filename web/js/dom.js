/*
 * Elements made from data.  Every value becomes a text node or a property:
 * nothing on this page parses a string as HTML, so what senders put into
 * their events stays text.
 */

const SVG = "http://www.w3.org/2000/svg";

/*
 * Characters that one cannot see or that turn the text around them: shown by
 * their number, so that two different ids never look alike.
 */
const UNSEEN = new RegExp("[\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5"
    + "\\u180e\\u200b-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3164\\ufe00-"
    + "\\ufe0f\\ufeff\\uffa0\\ufff9-\\ufffb\\u0000-\\u001f\\u007f-\\u009f]|"
    + "[\\u{e0000}-\\u{e0fff}]", "gu");


export function byId(id) {
    return document.getElementById(id);
}


/* An element with properties and children; null children are left out. */
export function el(tag, properties, ...children) {
    return fill(document.createElement(tag), properties, children);
}


export function svg(tag, properties, ...children) {
    return fill(document.createElementNS(SVG, tag), properties, children);
}


function fill(element, properties, children) {
    for (const [name, value] of Object.entries(properties ?? {})) {
        if (value === null || value === undefined || value === false) {
            continue;
        }
        if (name.startsWith("on")) {
            element.addEventListener(name.slice(2), value);
        } else if (name === "color") {
            element.style.setProperty("--color", value);
        } else {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children.flat().filter(
        (child) => child !== null && child !== undefined));
    return element;
}


/* Give the element the text, unless it has it: no needless announcement. */
export function setText(element, text) {
    if (element.textContent !== text) {
        element.textContent = text;
    }
}


/*
 * A sender's text, isolated from the text around it; of the unseen
 * characters only those in `but` stay as they are.
 */
export function foreign(text, maximum = 200, but = "") {
    let shown = text.replace(UNSEEN, (character) => but.includes(character)
        ? character : "⟨U+" + character.codePointAt(0).toString(16)
            .toUpperCase().padStart(4, "0") + "⟩");
    const characters = [...shown.slice(0, 2 * maximum)];
    if (characters.length > maximum) {
        shown = characters.slice(0, maximum).join("") + "…";
    }
    return el("bdi", {}, shown);
}


/*
 * Run `draw`, which replaces the children of `root`.  Elements with the same
 * data-key as before have the focus, and are scrolled, as before.
 */
export function keepPlace(root, draw) {
    const active = document.activeElement;
    const focused = root.contains(active) ? active.dataset.key : undefined;
    const scrolled = new Map();
    for (const element of root.querySelectorAll("[data-key]")) {
        const {scrollTop, scrollLeft} = element;
        if (scrollTop !== 0 || scrollLeft !== 0) {
            scrolled.set(element.dataset.key, [scrollLeft, scrollTop]);
        }
    }
    draw();
    for (const element of root.querySelectorAll("[data-key]")) {
        const {key} = element.dataset;
        if (scrolled.has(key)) {
            element.scrollTo(...scrolled.get(key));
        }
        if (key === focused) {
            element.focus({preventScroll: true});
        }
    }
}
