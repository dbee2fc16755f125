// Shows the service's OpenAPI document with Swagger UI. Where the service asks for a token, the
// person is asked for it first; it is kept in this page's memory and nowhere else.
"use strict";

const { asksForToken, view } = document.body.dataset;
const isForReading = view === "reading";
const form = document.getElementById("access");
const message = document.getElementById("message");
let token = "";

function withToken(request) {
  const isOurs = new URL(request.url, location.href).origin === location.origin;
  if (token && isOurs && !request.headers.Authorization) {
    request.headers.Authorization = `Bearer ${token}`;
  }
  return request;
}

function show() {
  form.hidden = true;
  const ui = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#viewer",
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: isForReading ? 5 : 0,
    defaultModelExpandDepth: 5,
    defaultModelRendering: isForReading ? "model" : "example",
    supportedSubmitMethods: isForReading ? [] : ["get", "post", "delete"],
    tryItOutEnabled: !isForReading,
    validatorUrl: null,
    requestInterceptor: withToken,
    onComplete: () => token && ui.preauthorizeApiKey("bearer", token),
  });
}

async function open(event) {
  event.preventDefault();
  message.textContent = "";
  const given = form.elements.token.value.trim();
  try {
    const headers = { Authorization: `Bearer ${given}` };
    const reply = await fetch("openapi.json", { method: "HEAD", headers });
    if (reply.ok) {
      token = given;
      show();
    } else {
      message.textContent =
        reply.status === 401 ? "The service does not take this token." : `The service says ${reply.status}.`;
    }
  } catch (error) {
    message.textContent = `The service cannot be asked: ${error.message}`;
  }
}

if (asksForToken === "yes") {
  form.addEventListener("submit", open);
  form.hidden = false;
  form.elements.token.focus();
} else {
  show();
}
