/* One color a type, for as long as the page is open. */

/* Names of custom properties in style.css. */
const COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];

export const SHOWN = COLORS.length;
export const OTHERS = "var(--c0)";

const given = new Map();


/* Take colors for the types, the most frequent first. */
export function assign(types) {
    const wanted = types.slice(0, SHOWN);
    const fresh = wanted.filter((type) => !given.has(type));
    /* A type that is away keeps its color until another one needs it. */
    for (const type of given.keys()) {
        if (!wanted.includes(type) && given.size + fresh.length > SHOWN) {
            given.delete(type);
        }
    }
    for (const type of fresh) {
        const used = new Set(given.values());
        given.set(type, COLORS.find((color) => !used.has(color)));
    }
}


/* As CSS writes it. */
export function colorOf(type) {
    return given.has(type) ? `var(${given.get(type)})` : OTHERS;
}


/* As a canvas needs it: the value of now, light or dark. */
export function resolve(color) {
    const name = color.slice(4, -1);
    return getComputedStyle(document.documentElement)
        .getPropertyValue(name).trim();
}
