"""OpenAPI description of all HTTP endpoints: `/openapi.json` for programs, `/docs` for people.

https://spec.openapis.org/oas/v3.1.1.html. It is built from the tables that the code runs on.
"""
