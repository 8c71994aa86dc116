"""The gateway's whole HTTP surface as one OpenAPI document, and a page to browse it.

What answers is described in `operations`; drf-spectacular finds the gateway's own addresses and
the serializers that read their bodies (`inspection`), the route table gives ComfyUI's (`comfyui`).
An address that nobody described is an error, which the tests meet before anybody else.
"""
