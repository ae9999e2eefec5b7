# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations


class ModuleDocFragment:
    # The options are those of kubernetes.core, whose code reads them. Their description is our own, so that
    # documentation can be read and built where only this collection is installed; a test compares the two.
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, or several joined as in E(KUBECONFIG), or its content as a mapping.
      - Left out, it is E(K8S_AUTH_KUBECONFIG), else C(~/.kube/config) unless O(host) is given.
    type: raw
  context:
    description:
      - Name of a context of the kubeconfig.
      - Left out, it is E(K8S_AUTH_CONTEXT), else the current one.
    type: str
  host:
    description: URL of the API server. Left out, it is E(K8S_AUTH_HOST), else the kubeconfig's.
    type: str
  api_key:
    description: Bearer token. Left out, it is E(K8S_AUTH_API_KEY), else the kubeconfig's.
    type: str
  username:
    description: User for HTTP basic authentication. Left out, it is E(K8S_AUTH_USERNAME).
    type: str
  password:
    description: Password for HTTP basic authentication. Left out, it is E(K8S_AUTH_PASSWORD).
    type: str
  client_cert:
    description: Path of a client certificate. Left out, it is E(K8S_AUTH_CERT_FILE), else the kubeconfig's.
    type: path
    aliases: [cert_file]
  client_key:
    description:
      - Path of the key of O(client_cert).
      - Left out, it is E(K8S_AUTH_KEY_FILE), else the kubeconfig's.
    type: path
    aliases: [key_file]
  ca_cert:
    description:
      - Path of the certificates, the whole chain, by which the API server's is verified.
      - Left out, it is E(K8S_AUTH_SSL_CA_CERT), else the kubeconfig's.
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description:
      - Whether to verify the API server's certificate.
      - Left out, it is E(K8S_AUTH_VERIFY_SSL), else V(true).
    type: bool
    aliases: [verify_ssl]
  proxy:
    description: URL of an HTTP proxy to the API server. Left out, it is E(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description:
      - Hosts, domains and nets, joined by commas, that O(proxy) is not for.
      - Left out, it is E(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description: User and password for the proxy, joined by a colon. Left out, it is
          E(K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH).
        type: str
      basic_auth:
        description:
          - User and password, joined by a colon.
          - Left out, it is E(K8S_AUTH_PROXY_HEADERS_BASIC_AUTH).
        type: str
      user_agent:
        description: The header C(User-Agent). Left out, it is E(K8S_AUTH_PROXY_HEADERS_USER_AGENT).
        type: str
  persist_config:
    description:
      - Whether to write renewed tokens back to the kubeconfig.
      - Left out, it is E(K8S_AUTH_PERSIST_CONFIG).
    type: bool
  impersonate_user:
    description: User to act as. Left out, it is E(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description: Groups to act as. Left out, they are E(K8S_AUTH_IMPERSONATE_GROUPS), joined by commas.
    type: list
    elements: str
"""
