# Copyright: (c) 2026, The Hostfence founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes and keeps Calico HostEndpoints from inside the cluster. Standard library, Python 3.9 and later."""
