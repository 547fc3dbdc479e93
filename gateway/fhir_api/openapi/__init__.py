"""The description of everything that the gateway answers, for people and for programs: `/openapi.json` and `/docs`.

https://spec.openapis.org/oas/v3.1.1.html. It is made of the tables that the code runs on.
"""
