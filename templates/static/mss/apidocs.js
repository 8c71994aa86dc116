// The API as a page: Swagger UI shows the gateway's own document.
const place = document.getElementById("api");
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  // Three hundred operations: their shapes are shown where they are used.
  defaultModelsExpandDepth: -1,
  // Nobody outside is told of this address, and no link can bring a document of its own.
  validatorUrl: null,
  queryConfigEnabled: false,
});
