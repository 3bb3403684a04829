/* /docs: Swagger UI with what this nginx serves, and nothing else. */

const dark = matchMedia("(prefers-color-scheme: dark)");


function paint() {
    document.documentElement.classList.toggle("dark-mode", dark.matches);
}


dark.addEventListener("change", paint);
paint();


window.SwaggerUIBundle({
    url: "/openapi.yaml",
    domNode: document.getElementById("viewer"),
    deepLinking: true,
    validatorUrl: null,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
});
